"""Records in Redis which operators' files are invalid, so that the console, `triagem status` and `doctor` warn.

Background tasks read the files, and the gateway may have no access to them.
"""

from typing import Final, cast

from redis import Redis

from triagem.inbox.client import redis_errors
from triagem.inbox.stream import PREFIX

_KEY: Final = PREFIX + ":invalid-file:"
_SETTINGS: Final = ("TRIAGEM_CRM_FILE", "TRIAGEM_ALERTS_FILE")
_KEPT_S: Final = 3600  # if no task reads the file any more


def record_problem(redis: Redis, setting: str, problem: str | None) -> None:
    """Record what is wrong with the file of a setting; None if it is valid."""
    if problem:
        redis.set(_KEY + setting, problem, ex=_KEPT_S)
    else:
        redis.delete(_KEY + setting)


@redis_errors()
def file_problems(redis: Redis) -> dict[str, str]:
    """The problems of invalid files, by setting."""
    problems = cast("list[bytes | None]", redis.mget([_KEY + setting for setting in _SETTINGS]))
    return {setting: problem.decode() for setting, problem in zip(_SETTINGS, problems, strict=True) if problem}
