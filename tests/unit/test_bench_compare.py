"""The comparison of two runs of the engine's benchmark."""

from bench.compare import losses


def test_our_engines_that_lost_a_tenth_of_their_speed_up_are_named() -> None:
    before = {"triagem bf16": 12.0, "triagem fp32": 8.0, "OpenVINO fp32": 4.0, "triagem fp16": 9.0}

    assert [*losses(before, {"triagem bf16": 10.7, "triagem fp32": 7.3, "OpenVINO fp32": 2.0})] == ["triagem bf16"]
