"""A ticket is a conversation. In any order of events, its result is the result of its newest messages (INV-38)."""

from itertools import permutations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text as sql

from tests.support.builders import NOW, YESTERDAY
from tests.support.conversations import ManualWorker, Receiver, current, entries, expected_text, message
from tests.support.windows import rows
from triagem.contracts.prediction import Band
from triagem.contracts.ticket import Author, Identity, Lane, Ticket
from triagem.contracts.wire import encode
from triagem.db import Database
from triagem.db.retention import purge_texts
from triagem.db.schema import TRUNCATE_ALL
from triagem.db.tickets.forgetting import delete_related, write_tombstone
from triagem.inbox import Entry

QUOTE = "Quero um orçamento do plano anual para a minha empresa"
MORE = "Preciso de vinte licenças para a equipe de vendas"
PROBLEM = "Minha internet caiu e o sistema não funciona desde ontem"


def final(database: Database, conversation: list[Ticket]) -> None:
    """Assert that the ticket has the result of the whole conversation."""
    row = current(database)
    assert row.text == row.label == expected_text(conversation)
    assert row.state == "classified"


class TestMessages:
    def test_a_conversation_is_judged_as_a_whole(self, database: Database) -> None:
        worker = ManualWorker(database)

        for entry in entries([message("1", QUOTE), message("2", MORE, minute=1)]):
            worker.process([entry])

        row = current(database)
        assert row.text == f"{QUOTE}\n\n{MORE}"
        assert (row.revision, row.on_reply) == (2, "conversation")

    def test_messages_of_one_window_are_classified_once(self, database: Database) -> None:
        worker = ManualWorker(database)
        fetched = entries([message("1", QUOTE), message("2", MORE, minute=1)])

        worker.process(fetched)

        assert worker.classified == [f"{QUOTE}\n\n{MORE}"]
        assert worker.acknowledged == {entry.id for entry in fetched}

    def test_an_agents_message_is_stored_and_not_classified(self, database: Database) -> None:
        worker = ManualWorker(database)
        first, answer = entries([message("1", QUOTE), message("2", "Segue a proposta", minute=1, author="agent")])
        worker.process([first])
        before = current(database)

        worker.process([answer])

        assert current(database) == before
        assert [row["text"] for row in rows(database, "messages")] == [QUOTE, "Segue a proposta"]
        assert len(worker.classified) == 1
        assert answer.id in worker.acknowledged

    def test_a_conversation_waits_until_the_customer_writes(self, database: Database) -> None:
        worker = ManualWorker(database)
        greeting, first = entries([message("1", "Olá! Sou a Bia", author="bot"), message("2", QUOTE, minute=1)])

        worker.process([greeting])
        assert (current(database).state, current(database).text) == ("waiting", None)
        assert greeting.id in worker.acknowledged

        worker.process([first])
        assert (current(database).label, current(database).revision) == (QUOTE, 1)

    def test_small_talk_is_no_revision(self, database: Database) -> None:
        worker = ManualWorker(database)
        first, thanks = entries([message("1", QUOTE), message("2", "Obrigado!", minute=1)])
        worker.process([first])

        worker.process([thanks])

        assert current(database).revision == 1
        assert worker.classified == [QUOTE]
        assert thanks.id in worker.acknowledged

    def test_a_message_delivered_again_changes_nothing(self, database: Database) -> None:
        worker = ManualWorker(database)
        fetched = entries([message("1", QUOTE), message("2", MORE, minute=1)])
        worker.process(fetched)
        before = current(database)

        worker.process(fetched)
        worker.process(fetched[:1])

        assert current(database) == before

    def test_an_edit_replaces_the_message_in_its_place(self, database: Database) -> None:
        worker = ManualWorker(database)

        for entry in entries([message("1", QUOTE), message("2", MORE, minute=1), message("1", PROBLEM, minute=2)]):
            worker.process([entry])

        assert current(database).text == f"{PROBLEM}\n\n{MORE}"
        edited, _ = rows(database, "messages")
        assert (edited["edited_at"], edited["written_at"] < edited["edited_at"]) == (edited["revised_at"], True)

    def test_a_deleted_message_is_judged_no_more_and_its_text_is_gone(self, database: Database) -> None:
        worker = ManualWorker(database)

        for entry in entries([message("1", QUOTE), message("2", PROBLEM), message("1", minute=3, deleted=True)]):
            worker.process([entry])

        assert current(database).text == PROBLEM
        assert [row["text"] for row in rows(database, "messages")] == [None, PROBLEM]

    def test_a_customers_message_that_becomes_an_agents_is_judged_no_more(self, database: Database) -> None:
        worker = ManualWorker(database)
        fetched = entries([message("1", QUOTE), message("2", PROBLEM), message("2", PROBLEM, author="agent")])
        worker.process(fetched[:2])

        worker.process(fetched[2:])

        assert current(database).text == current(database).label == QUOTE
        assert worker.acknowledged == {entry.id for entry in fetched}

    def test_also_if_the_worker_that_stored_the_agents_version_crashed(self, database: Database) -> None:
        worker = ManualWorker(database)
        first, changed = entries([message("1", QUOTE), message("1", QUOTE, minute=1, author="agent")])
        worker.process([first])
        worker.route([changed])
        worker.crash()
        assert changed.id not in worker.acknowledged

        worker.process([changed])

        assert current(database).text == ""
        assert changed.id in worker.acknowledged

    def test_an_agents_message_that_becomes_the_customers_is_judged(self, database: Database) -> None:
        worker = ManualWorker(database)

        for entry in entries([message("1", QUOTE), message("2", MORE, author="agent"), message("2", MORE)]):
            worker.process([entry])

        assert current(database).text == f"{QUOTE}\n\n{MORE}"

    def test_an_agents_message_that_is_changed_needs_no_model(self, database: Database) -> None:
        worker = ManualWorker(database)
        answers = [
            message("2", text, minute=minute, author="agent") for minute, text in enumerate([MORE, PROBLEM], 1)
        ]

        for entry in entries([message("1", QUOTE), *answers]):
            worker.process([entry])

        assert (worker.classified, current(database).revision) == ([QUOTE], 1)
        assert len(worker.acknowledged) == 3

    def test_when_all_messages_are_deleted_the_text_is_gone_and_no_label_may_be_used(
        self, database: Database
    ) -> None:
        worker = ManualWorker(database)

        for entry in entries([message("1", QUOTE), message("1", minute=3, deleted=True)]):
            worker.process([entry])

        assert (current(database).text, current(database).revision) == ("", 2)

    @pytest.mark.parametrize(("mode", "text"), [("first", QUOTE), ("latest", PROBLEM)])
    def test_the_source_may_judge_the_first_or_the_latest_message(
        self, database: Database, mode: str, text: str
    ) -> None:
        worker = ManualWorker(database)

        for entry in entries([message("1", QUOTE, on_reply=mode), message("2", PROBLEM, minute=1, on_reply=mode)]):
            worker.process([entry])

        assert current(database).text == text
        assert current(database).on_reply == mode

    def test_a_message_without_this_choice_keeps_that_of_its_conversation(self, database: Database) -> None:
        worker = ManualWorker(database)

        for entry in entries([message("1", QUOTE, on_reply="first"), message("2", PROBLEM, minute=1, on_reply=None)]):
            worker.process([entry])

        assert (current(database).text, current(database).on_reply) == (QUOTE, "first")

    def test_messages_of_a_forgotten_ticket_are_not_stored(self, database: Database) -> None:
        worker = ManualWorker(database)
        first, second = entries([message("1", QUOTE), message("2", MORE, minute=1)])
        worker.process([first])
        identity = Identity("zendesk", "4711")
        write_tombstone(database, identity)
        delete_related(database, identity)

        worker.process([second])

        assert current(database).text is None
        assert rows(database, "messages") == []
        assert second.id in worker.acknowledged

    def test_retention_purges_the_texts_of_old_messages(self, database: Database) -> None:
        ManualWorker(database).process(entries([message("1", QUOTE), message("2", "Segue", author="agent")]))

        assert list(purge_texts(database, before=YESTERDAY)) == [0]
        assert [row["text"] for row in rows(database, "messages")] == [QUOTE, "Segue"]
        assert list(purge_texts(database, before=NOW)) == [1]

        assert current(database).text is None
        assert [row["text"] for row in rows(database, "messages")] == [None, None]


class TestReceivers:
    """INV-35: once any of the customer's messages arrived on the live lane, the receiver gets the current label."""

    @pytest.mark.parametrize("lanes", [(Lane.LIVE, Lane.BULK), (Lane.BULK, Lane.LIVE)])
    @pytest.mark.parametrize("second", [MORE, "Obrigado!"])
    @pytest.mark.parametrize("windows", [[(0, 1)], [(0,), (1,)], [(1,), (0,)]])
    def test_is_sent_the_label_whichever_message_came_live(
        self, database: Database, lanes: tuple[Lane, Lane], second: str, windows: list[tuple[int, ...]]
    ) -> None:
        receiver, worker = Receiver(database), ManualWorker(database)
        fetched = entries([message("1", QUOTE), message("2", second, minute=1)], lanes)

        for window in windows:
            worker.process([fetched[index] for index in window])
            receiver.deliver()

        assert receiver.label == current(database).label

    def test_is_sent_the_label_of_an_import_when_its_message_comes_live(self, database: Database) -> None:
        receiver, worker = Receiver(database), ManualWorker(database)
        imported, live = entries([message("1", QUOTE)] * 2, [Lane.BULK, Lane.LIVE])

        for entry, label in ((imported, None), (live, QUOTE)):
            worker.process([entry])
            receiver.deliver()
            assert receiver.label == label

    def test_is_not_sent_the_label_of_an_import_that_an_agent_answers(self, database: Database) -> None:
        receiver = Receiver(database)
        answer = message("2", MORE, minute=1, author="agent")

        ManualWorker(database).process(entries([message("1", QUOTE), answer], [Lane.BULK, Lane.LIVE]))
        receiver.deliver()

        assert (current(database).label, receiver.label) == (QUOTE, None)

    def test_is_not_sent_the_label_of_an_import_in_which_an_agent_takes_over_a_message(
        self, database: Database
    ) -> None:
        receiver, worker = Receiver(database), ManualWorker(database)
        imported = [message("1", QUOTE), message("2", PROBLEM)]
        answer = message("2", PROBLEM, minute=1, author="agent")

        for entry in entries([*imported, answer], [Lane.BULK, Lane.BULK, Lane.LIVE]):
            worker.process([entry])
        receiver.deliver()

        assert (current(database).label, current(database).lane, receiver.label) == (QUOTE, "bulk", None)

    def test_the_live_message_is_classified_not_the_imported_one(self, database: Database) -> None:
        """Live entries go first, and only live entries raise alerts."""
        live, imported = entries([message("1", QUOTE), message("2", MORE, minute=1)], [Lane.LIVE, Lane.BULK])
        worker = ManualWorker(database)

        worker.route([live, imported])

        assert worker.acknowledged == {imported.id}


class TestAlerts:
    """A doubtful result of a live message is alerted, whichever worker judged the message."""

    def test_a_live_message_that_an_imports_worker_judged_first_raises_an_alert(self, database: Database) -> None:
        first, second = ManualWorker(database, band=Band.REVIEW), ManualWorker(database, band=Band.REVIEW)
        live, imported = entries([message("1", QUOTE), message("2", MORE, minute=1)], [Lane.LIVE, Lane.BULK])
        first.route([live])
        first.crash()
        second.process([imported])
        assert rows(database, "alerts") == []

        first.process([live])

        assert [row["digest"] for row in rows(database, "alerts")] == [current(database).digest]
        assert live.id in first.acknowledged

    def test_also_if_both_workers_compose_the_same_text_and_the_imports_worker_commits_first(
        self, database: Database
    ) -> None:
        first, second = ManualWorker(database, band=Band.REVIEW), ManualWorker(database, band=Band.REVIEW)
        live, imported = entries([message("1", QUOTE), message("2", MORE, minute=1)], [Lane.LIVE, Lane.BULK])
        first.route([live])
        first.crash()
        second.route([imported])
        first.route([live])
        second.commit()
        assert rows(database, "alerts") == []

        first.commit()
        first.process([live])

        assert [row["digest"] for row in rows(database, "alerts")] == [current(database).digest]

    def test_the_doubtful_result_of_an_import_is_not_alerted_when_the_customer_says_thanks(
        self, database: Database
    ) -> None:
        Receiver(database)
        worker = ManualWorker(database, band=Band.REVIEW)
        (imported,) = entries([message("1", QUOTE)], [Lane.BULK])
        thanks = Entry(
            b"%d-0" % int(NOW.timestamp() * 1000 + 1), Lane.LIVE, encode(message("2", "Obrigado!", minute=1))
        )

        worker.process([imported])
        worker.process([thanks])

        assert current(database).lane == "live"
        assert rows(database, "alerts") == []


class TestWholeTexts:
    """A whole text is stored as the message with the empty id."""

    def test_a_ticket_that_came_whole_becomes_a_conversation(self, database: Database) -> None:
        worker = ManualWorker(database)

        for entry in entries([message(None, QUOTE), message("2", MORE, minute=1)]):
            worker.process([entry])

        assert current(database).text == f"{QUOTE}\n\n{MORE}"
        assert [row["message_id"] for row in rows(database, "messages")] == ["", "2"]

    def test_a_whole_text_of_a_conversation_joins_it(self, database: Database) -> None:
        worker = ManualWorker(database)

        for entry in entries([message("2", MORE, minute=1), message(None, QUOTE)]):
            worker.process([entry])

        assert current(database).text == f"{QUOTE}\n\n{MORE}"

    def test_one_that_was_being_classified_joins_when_it_is_fetched_again(self, database: Database) -> None:
        whole, added = entries([message(None, QUOTE), message("2", MORE, minute=1)])
        first, second = ManualWorker(database), ManualWorker(database)
        first.route([whole])
        second.process([added])

        first.commit()
        assert whole.id not in first.acknowledged
        assert current(database).text == MORE

        first.process([whole])
        assert whole.id in first.acknowledged
        assert current(database).text == f"{QUOTE}\n\n{MORE}"

    def test_also_if_both_are_committed_in_one_window(self, database: Database) -> None:
        whole, added = entries([message(None, QUOTE, minute=1), message("2", MORE)])
        worker = ManualWorker(database)
        worker.route([whole])
        worker.route([added])
        worker.commit_all()

        assert worker.acknowledged == {added.id}
        worker.process([whole])
        assert current(database).text == f"{MORE}\n\n{QUOTE}"


def _edits() -> st.SearchStrategy[list[Ticket]]:
    texts = st.sampled_from([QUOTE, MORE, PROBLEM, "Obrigado!"])
    written = st.builds(message, st.sampled_from([None, "1", "2"]), texts, minute=st.integers(0, 3))
    answer = st.builds(message, st.sampled_from(["2", "3"]), texts, minute=st.integers(0, 3), author=st.just("agent"))
    deletion = st.builds(message, st.sampled_from(["1", "2"]), minute=st.integers(0, 3), deleted=st.just(True))
    return st.lists(st.one_of(written, written, written, answer, deletion), min_size=1, max_size=6)


class TestInterleavings:
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.data(), _edits())
    def test_however_two_workers_interleave_the_newest_messages_are_judged(
        self, database: Database, data: st.DataObject, conversation: list[Ticket]
    ) -> None:
        with database.autocommit() as connection:
            connection.execute(TRUNCATE_ALL)
        workers = [ManualWorker(database), ManualWorker(database, version="v1.1.0", epoch=2)]
        receiver = Receiver(database)
        lanes = data.draw(st.lists(st.sampled_from(Lane), min_size=len(conversation), max_size=len(conversation)))
        fetched = entries(conversation, lanes)
        steps = st.tuples(st.sampled_from(workers), st.sampled_from(["route", "route", "commit", "crash", "deliver"]))
        for worker, step in data.draw(st.lists(steps, max_size=12)):
            if step == "route":
                worker.route(data.draw(st.lists(st.sampled_from(fetched), max_size=3, unique=True)))
            elif step == "commit":
                worker.commit()
            elif step == "deliver":
                receiver.deliver()
            else:
                worker.crash()

        self._finish(workers, fetched)

        receiver.deliver()
        expected = expected_text(conversation)
        row = current(database)
        by_customer = [each.message is None or each.message.author is Author.CUSTOMER for each in conversation]
        is_live = (Lane.LIVE, True) in zip(lanes, by_customer, strict=True)
        assert receiver.label == row.label or not is_live
        if row.state == "classified":
            assert row.text == row.label == expected
        else:
            assert (row.text, expected) == (None, "")

    def _finish(self, workers: list[ManualWorker], fetched: list[Entry]) -> None:
        """Redis delivers entries again that no worker acknowledged, even while older windows wait."""
        for _ in range(4):
            acknowledged = workers[0].acknowledged | workers[1].acknowledged
            workers[0].route([entry for entry in fetched if entry.id not in acknowledged])
            for worker in (*workers, *workers):
                for _ in range(8):
                    worker.commit()

    @pytest.mark.parametrize("order", list(permutations(range(3))))
    def test_messages_in_any_order_give_the_same_conversation(
        self, database: Database, order: tuple[int, ...]
    ) -> None:
        conversation = [message("1", QUOTE), message("2", MORE, minute=1), message("3", PROBLEM, minute=2)]
        worker = ManualWorker(database)

        for entry in entries([conversation[index] for index in order]):
            worker.process([entry])

        assert current(database).text == f"{QUOTE}\n\n{MORE}\n\n{PROBLEM}"

    def test_of_two_texts_of_the_same_time_the_one_composed_later_is_current(self, database: Database) -> None:
        later, earlier = entries([message("1", QUOTE, minute=1), message("2", PROBLEM)])
        slow, fast = ManualWorker(database), ManualWorker(database)
        slow.route([later])
        fast.route([earlier])

        slow.commit()
        fast.commit()

        final(database, [message("1", QUOTE, minute=1), message("2", PROBLEM)])

    def test_a_message_that_arrives_while_the_conversation_is_classified_is_judged(self, database: Database) -> None:
        first, second = entries([message("1", QUOTE), message("2", PROBLEM, minute=1)])
        slow, fast = ManualWorker(database), ManualWorker(database)
        slow.route([first])
        fast.process([second])

        slow.commit()

        final(database, [message("1", QUOTE), message("2", PROBLEM, minute=1)])
        with database.autocommit() as connection:
            late = connection.execute(sql("SELECT revision FROM predictions WHERE label = :label"), {"label": QUOTE})
            assert late.scalars().all() == [None]
