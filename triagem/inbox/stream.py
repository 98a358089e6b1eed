"""The inbox: put, take, settle, and what is waiting. Entries leave Redis only when they are settled."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final, cast

from redis import Redis
from redis.exceptions import ResponseError

from triagem.contracts.errors import GroupMissing, InboxFull
from triagem.contracts.ticket import Lane
from triagem.inbox.client import redis_errors
from triagem.inbox.settings import InboxSettings

# Hash-tagged from the first day, so that lanes can be sharded over a cluster without renaming anything.
PREFIX: Final = "triagem:{0}"
GROUP: Final = "workers"
_FIELD: Final = b"t"
_REQUEST: Final = b"r"


@dataclass(frozen=True, slots=True)
class Entry:
    """What one ticket is in Redis. `payload` is None where the entry had no field of ours.

    `deaths` is None unless a worker died while it was at work on this entry among others; then it counts the
    workers that died while they were at work on this entry alone. `request_id`: of the HTTP request it came by.
    """

    id: bytes
    lane: Lane
    payload: bytes | None
    deaths: int | None = None
    request_id: str | None = None

    @property
    def put_at(self) -> float:
        """When it was put, seconds since the epoch by Redis' clock."""
        return int(self.id.split(b"-")[0]) / 1000


@dataclass(frozen=True, slots=True)
class Once:
    """What makes a batch the same one when it is sent again: `key` names it, `fingerprint` is the digest of what was
    sent, `content` is whatever the sender has to be told again. Kept for `keep_s` seconds."""

    key: str
    fingerprint: bytes
    content: bytes
    keep_s: int


@dataclass(frozen=True, slots=True)
class Noted:
    """What stands under a key: the fingerprint and content of the batch that came first, and its entry ids."""

    fingerprint: bytes
    content: bytes
    ids: list[bytes]


@dataclass(frozen=True, slots=True)
class Depth:
    """What a lane holds. `oldest_s` is the age of its first entry, in seconds by Redis' clock."""

    waiting: int
    in_flight: int
    oldest_s: float | None


class Inbox:
    """Both lanes. Every method raises InboxAway or AccessDenied; those that read, GroupMissing without groups."""

    def __init__(self, redis: Redis, settings: InboxSettings | None = None) -> None:
        self.redis = redis
        self.settings = settings or InboxSettings()
        self._put = redis.register_script(script("put"))

    def put(self, lane: Lane, payloads: Sequence[bytes], *, request_id: str = "") -> list[bytes]:
        """Add a batch, all or nothing, and return the entry ids. Raises InboxFull; then nothing was added."""
        if not payloads:
            return []
        return cast("list[bytes]", self._add(lane, payloads, request_id)[1:])

    def put_once(self, lane: Lane, payloads: Sequence[bytes], once: Once, *, request_id: str = "") -> Noted:
        """Like `put`, unless a batch was put under this key before: then nothing is added, and the former is told.

        Batch and note are written in one step, so no crash can leave one without the other.
        """
        state, *rest = self._add(lane, payloads, request_id, once)
        if state == 2:
            fingerprint, content, ids = rest
            return Noted(fingerprint, content, ids.split())
        return Noted(once.fingerprint, once.content, rest)

    def _add(self, lane: Lane, payloads: Sequence[bytes], request_id: str, once: Once | None = None) -> list[Any]:
        keys = [stream_key(lane), *([f"{PREFIX}:once:{once.key}"] if once else [])]
        note: list[int | bytes] = [once.keep_s, once.fingerprint, once.content] if once else []
        with redis_errors():
            answer = cast(
                "list[Any]",
                self._put(
                    keys=keys,
                    args=[
                        self.settings.mark(lane),
                        self.settings.memory_share,
                        request_id,
                        len(note),
                        *note,
                        *payloads,
                    ],
                ),
            )
        if answer[0] != 0:
            return answer
        why = (
            f"{answer[1]} entries, the mark is {self.settings.mark(lane)}"
            if answer[2] == b"mark"
            else f"Redis uses over {self.settings.memory_share:.0%} of its memory"
        )
        raise InboxFull(f"the {lane} lane is full ({why}): wait until workers have drained it")

    def take(self, lane: Lane, consumer: str, count: int) -> list[Entry]:
        """Up to `count` waiting entries of a lane, now pending under `consumer`. Never waits."""
        return self._read([lane], consumer, count, None)

    def wait(self, consumer: str, count: int, *, block_s: float) -> list[Entry]:
        """Like `take`, of both lanes, up to `count` each, waiting until something comes. For an idle worker."""
        return self._read([Lane.LIVE, Lane.BULK], consumer, count, max(1, int(block_s * 1000)))

    def settle(self, entries: Iterable[Entry]) -> None:
        """Acknowledge and delete, and clear of suspicion, in one transaction. Settling twice changes nothing."""
        ids: dict[Lane, list[bytes]] = {}
        for entry in entries:
            ids.setdefault(entry.lane, []).append(entry.id)
        with redis_errors(), self.redis.pipeline(transaction=True) as pipe:
            for lane, lane_ids in ids.items():
                pipe.xack(stream_key(lane), GROUP, *lane_ids)
                pipe.xdel(stream_key(lane), *lane_ids)
                pipe.hdel(suspects_key(lane), *lane_ids)
            pipe.execute()

    def owner(self, entry: Entry) -> str | None:
        """Under whose name an entry is pending, or None if it is not."""
        with redis_errors():
            rows = self.redis.xpending_range(stream_key(entry.lane), GROUP, entry.id, entry.id, 1)
        return cast("list[Any]", rows)[0]["consumer"].decode() if rows else None

    def depth(self, lane: Lane) -> Depth:
        """What waits, what is in flight, and how old the oldest is."""
        with redis_errors(), self.redis.pipeline(transaction=True) as pipe:
            pipe.xlen(stream_key(lane))
            pipe.xrange(stream_key(lane), count=1)
            pipe.time()
            entries, first, (seconds, micros) = pipe.execute()
        in_flight = min(entries, self.in_flight(lane))
        oldest = None
        if first:
            oldest = max(0.0, seconds + micros / 1e6 - int(first[0][0].split(b"-")[0]) / 1000)
        return Depth(waiting=entries - in_flight, in_flight=in_flight, oldest_s=oldest)

    def in_flight(self, lane: Lane) -> int:
        """Entries that a worker holds."""
        try:
            with redis_errors():
                return int(cast("dict[str, int]", self.redis.xpending(stream_key(lane), GROUP))["pending"])
        except GroupMissing:
            return 0

    def settled(self, lane: Lane) -> int:
        """How many entries have left the lane since the stream was made."""
        with redis_errors():
            try:
                told = cast("dict[str, int]", self.redis.xinfo_stream(stream_key(lane)))
            except ResponseError:  # there is no such stream yet
                return 0
        return int(told["entries-added"]) - int(told["length"])

    def suspects(self) -> int:
        """Entries that were at work when a worker died."""
        with redis_errors():
            return sum(self.redis.hlen(suspects_key(lane)) for lane in Lane)

    def memory_used(self) -> float:
        """Used memory as a share of Redis' limit; 0 without a limit."""
        with redis_errors():
            info = self.redis.info("memory")
        return float(info["used_memory"] / info["maxmemory"]) if info.get("maxmemory") else 0.0

    def make_groups(self) -> None:
        """Create streams and groups where they are missing, from the first entry on (`$` would skip earlier puts)."""
        for lane in Lane:
            with redis_errors():
                try:
                    self.redis.xgroup_create(stream_key(lane), GROUP, id="0", mkstream=True)
                except ResponseError as error:
                    if not str(error).startswith("BUSYGROUP"):
                        raise

    def _read(self, lanes: list[Lane], consumer: str, count: int, block_ms: int | None) -> list[Entry]:
        keys = {stream_key(lane): ">" for lane in lanes}
        with redis_errors():
            answer = self.redis.xreadgroup(GROUP, consumer, cast("Any", keys), count=count, block=block_ms)
        return [entry for key, rows in cast("list[Any]", answer or []) for entry in entries_of(lane_of(key), rows)]


def entries_of(lane: Lane, rows: Iterable[Any]) -> list[Entry]:
    """Redis' rows as entries: pairs as redis-py parses them, or flat lists with deaths as a script returns them."""
    entries = []
    for row in rows:
        entry_id, fields, *rest = row or (None, None)
        if entry_id is None:  # before Redis 7, XCLAIM's answer for an entry that was deleted meanwhile
            continue
        if isinstance(fields, list):
            fields = dict(zip(fields[::2], fields[1::2], strict=True))
        deaths = rest[0] if rest and rest[0] >= 0 else None
        request_id = (fields or {}).get(_REQUEST)
        entries.append(
            Entry(
                entry_id,
                lane,
                (fields or {}).get(_FIELD),
                deaths,
                request_id and request_id.decode("ascii", "replace"),
            )
        )
    return entries


def stream_key(lane: Lane) -> str:
    """The stream of a lane."""
    return f"{PREFIX}:{lane}"


def suspects_key(lane: Lane) -> str:
    """The hash of a lane's suspects: entry id → deaths alone."""
    return f"{PREFIX}:suspects:{lane}"


def lane_of(key: bytes) -> Lane:
    """The lane of a stream's key."""
    return Lane(key.decode().rpartition(":")[2])


def script(name: str) -> str:
    """The source of one of our Lua scripts."""
    return (files("triagem.inbox") / "lua" / f"{name}.lua").read_text(encoding="utf-8")
