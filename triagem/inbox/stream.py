"""The inbox: puts, fetches and acknowledges entries, and measures the backlog. Only `ack` removes an entry."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final, cast

from redis import Redis
from redis.exceptions import ResponseError

from triagem.contracts.errors import GroupMissing, InboxFull
from triagem.contracts.ticket import Lane, read_lane
from triagem.inbox.batch import Batch, PutRecord, put_arguments, put_result
from triagem.inbox.client import InboxSettings, redis_errors

# All keys share a hash tag, so that they stay in one slot of a cluster and lanes can be sharded without renaming.
PREFIX: Final = "triagem:{0}"
GROUP: Final = "workers"
PAUSED: Final = PREFIX + ":paused"  # set while workers are paused
_FIELD: Final = b"t"
_REQUEST: Final = b"r"


@dataclass(slots=True)  # one per ticket: creating a frozen instance would take three times as long
class Entry:
    """A stream entry, which holds one ticket. `payload` is None where the entry was deleted.

    `solo_crashes` is None unless the entry is quarantined: a worker crashed while it processed this entry, perhaps
    among others. It counts the workers that crashed while they processed this entry alone. `request_id`: of the HTTP
    request that brought the ticket.
    """

    id: bytes
    lane: Lane
    payload: bytes | None
    solo_crashes: int | None = None
    request_id: str | None = None

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def put_at(self) -> float:
        """Time of the put, in seconds since the epoch by Redis' clock."""
        return int(self.id.split(b"-")[0]) / 1000

    @property
    def arrival(self) -> int:
        """The order of the puts as one unique number: milliseconds, number within the millisecond, lane."""
        milliseconds, number = self.id.split(b"-")
        return int(milliseconds) << 20 | min(int(number), (1 << 19) - 1) << 1 | (self.lane is Lane.LIVE)


@dataclass(frozen=True, slots=True)
class Depth:
    """Depth of a lane, in entries. `oldest_s` is the age of its first entry, in seconds by Redis' clock."""

    waiting: int
    in_flight: int
    oldest_s: float | None

    @property
    def entries(self) -> int:
        """Waiting and in flight."""
        return self.waiting + self.in_flight


def full_lanes(depths: Mapping[Lane, Depth], settings: InboxSettings) -> list[str]:
    """The lanes that take no more entries, each in words."""
    return [
        f"the {lane} lane is full ({depth.entries:,} entries, TRIAGEM_{lane.upper()}_HIGH_WATER)"
        for lane, depth in depths.items()
        if depth.entries >= settings.high_water(lane)
    ]


class Inbox:
    """The streams of both lanes.

    Every method raises InboxUnavailable or AccessDenied; methods that read raise GroupMissing without groups.
    """

    def __init__(self, redis: Redis, settings: InboxSettings | None = None) -> None:
        self.redis = redis
        self.settings = settings or InboxSettings()
        self._put = redis.register_script(script("put"))

    def put(self, lane: Lane, payloads: Sequence[bytes], *, request_id: str = "") -> list[bytes]:
        """Add a batch, all or nothing, and return the entry ids. Raises InboxFull; then nothing was added."""
        if not payloads:
            return []
        (result,) = self.put_batches(lane, [Batch(payloads, request_id)])
        if isinstance(result, InboxFull):
            raise result
        return result.ids

    def put_fitting(self, lane: Lane, payloads: Sequence[bytes]) -> int:
        """Add as many of the first payloads as fit, by halving the batch; returns their number.

        Raises InboxFull if not even one fits.
        """
        count = len(payloads)
        while True:
            try:
                self.put(lane, payloads[:count])
                return count
            except InboxFull:
                if count == 1:
                    raise
                count //= 2

    @redis_errors()
    def put_batches(self, lane: Lane, batches: Sequence[Batch]) -> list[PutRecord | InboxFull]:
        """Add batches in one call, each all or nothing. The result InboxFull means that nothing of it was added.

        An idempotent batch adds nothing if a batch was put under its key before; its result is that batch's record.
        Batch and record are written in one step, so no crash can leave one without the other.

        Raises InvalidTicket if there is no such lane.
        """
        lane = read_lane(lane)
        records = [f"{PREFIX}:once:{batch.idempotency.key}" for batch in batches if batch.idempotency]
        replies = self._put([stream_key(lane), *records], put_arguments(lane, self.settings, batches))
        pairs = list(zip(batches, cast("list[Any]", replies), strict=True))
        paused = any(reply[0] == 0 for _, reply in pairs) and bool(self.redis.exists(PAUSED))
        return [put_result(lane, self.settings, batch, reply, paused=paused) for batch, reply in pairs]

    def fetch(self, lane: Lane, consumer: str, count: int) -> list[Entry]:
        """Up to `count` waiting entries of a lane, now pending under `consumer`. Never blocks."""
        return self._read([lane], consumer, count, None)

    def fetch_blocking(self, consumer: str, count: int, *, block_s: float) -> list[Entry]:
        """Like `fetch`, from both lanes, up to `count` each. Blocks up to `block_s` until an entry arrives."""
        return self._read([Lane.LIVE, Lane.BULK], consumer, count, max(1, int(block_s * 1000)))

    @redis_errors()
    def ack(self, entries: Iterable[Entry]) -> None:
        """Acknowledge and delete entries and end their quarantine, in one transaction. Idempotent."""
        with self.redis.pipeline(transaction=True) as pipe:
            _remove(pipe, entries)
            pipe.execute()

    @redis_errors()
    def move_to_end(self, entries: Sequence[Entry]) -> None:
        """Move entries in flight to the end of their lanes, in one transaction. Their ids change.

        If the reply is lost, the entries may have been moved already: only use it if they may be processed twice.
        """
        with self.redis.pipeline(transaction=True) as pipe:
            for entry in entries:
                fields: dict[Any, Any] = {_FIELD: entry.payload or b""}
                if entry.request_id:
                    fields[_REQUEST] = entry.request_id
                pipe.xadd(stream_key(entry.lane), fields)
            _remove(pipe, entries)
            pipe.execute()

    @redis_errors()
    def owner(self, entry: Entry) -> str | None:
        """The consumer that an entry is pending under, or None if it is not pending."""
        rows = self.redis.xpending_range(stream_key(entry.lane), GROUP, entry.id, entry.id, 1)
        return cast("list[Any]", rows)[0]["consumer"].decode() if rows else None

    @redis_errors()
    def depth(self, lane: Lane) -> Depth:
        """Entries waiting and in flight, and the age of the oldest."""
        with self.redis.pipeline(transaction=True) as pipe:
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
        """The number of entries that workers hold."""
        try:
            with redis_errors():
                return int(cast("dict[str, int]", self.redis.xpending(stream_key(lane), GROUP))["pending"])
        except GroupMissing:
            return 0

    @redis_errors()
    def acked(self, lane: Lane) -> int:
        """The number of entries that have left the lane since the stream was created."""
        try:
            info = cast("dict[str, int]", self.redis.xinfo_stream(stream_key(lane)))
        except ResponseError:  # there is no such stream yet
            return 0
        return int(info["entries-added"]) - int(info["length"])

    @redis_errors()
    def quarantined(self) -> int:
        """The number of quarantined entries: a worker crashed while it processed them."""
        return sum(self.redis.hlen(quarantine_key(lane)) for lane in Lane)

    @redis_errors()
    def memory_used(self) -> float:
        """Used memory as a share of Redis' limit; 0 without a limit."""
        info = self.redis.info("memory")
        return float(info["used_memory"] / info["maxmemory"]) if info.get("maxmemory") else 0.0

    @redis_errors()
    def create_groups(self) -> None:
        """Create missing streams and groups. A group starts at the first entry (`$` would skip earlier puts)."""
        for lane in Lane:
            try:
                self.redis.xgroup_create(stream_key(lane), GROUP, id="0", mkstream=True)
            except ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise

    @redis_errors()
    def _read(self, lanes: list[Lane], consumer: str, count: int, block_ms: int | None) -> list[Entry]:
        keys = {stream_key(lane): ">" for lane in lanes}
        reply = self.redis.xreadgroup(GROUP, consumer, cast("Any", keys), count=count, block=block_ms)
        return [entry for key, rows in cast("list[Any]", reply or []) for entry in entries_of(lane_of(key), rows)]


def _remove(pipe: Any, entries: Iterable[Entry]) -> None:
    ids: dict[Lane, list[bytes]] = {}
    for entry in entries:
        ids.setdefault(entry.lane, []).append(entry.id)
    for lane, lane_ids in ids.items():
        pipe.xack(stream_key(lane), GROUP, *lane_ids)
        pipe.xdel(stream_key(lane), *lane_ids)
        pipe.hdel(quarantine_key(lane), *lane_ids)


def entries_of(lane: Lane, rows: Iterable[Any]) -> list[Entry]:
    """Parse rows from Redis: pairs as redis-py returns them, or flat lists with solo crashes as from a script."""
    entries = []
    for row in rows:
        entry_id, fields, *rest = row or (None, None)
        if entry_id is None:  # before Redis 7, XCLAIM returns this for an entry deleted in the meantime
            continue
        if isinstance(fields, list):
            fields = dict(zip(fields[::2], fields[1::2], strict=True))
        solo_crashes = rest[0] if rest and rest[0] >= 0 else None
        fields = fields or {}
        request_id = fields.get(_REQUEST)
        entries.append(
            Entry(
                entry_id,
                lane,
                fields[_FIELD] if _FIELD in fields else _foreign(fields),
                solo_crashes,
                request_id and request_id.decode("ascii", "replace"),
            )
        )
    return entries


def _foreign(fields: dict[bytes, bytes]) -> bytes | None:
    """The fields of an entry that another program wrote, as JSON: its dead letter keeps them."""
    decoded = {k.decode(errors="backslashreplace"): v.decode(errors="backslashreplace") for k, v in fields.items()}
    return json.dumps(decoded, ensure_ascii=False).encode() if fields else None


def stream_key(lane: Lane) -> str:
    """The stream of a lane."""
    return f"{PREFIX}:{lane}"


def quarantine_key(lane: Lane) -> str:
    """The hash of a lane's quarantined entries: entry id → solo crashes."""
    return f"{PREFIX}:suspects:{lane}"


def lane_of(key: bytes) -> Lane:
    """The lane of a stream's key."""
    return Lane(key.decode().rpartition(":")[2])


def script(name: str) -> str:
    """The source of one of our Lua scripts."""
    return (files("triagem.inbox") / "lua" / f"{name}.lua").read_text(encoding="utf-8")
