"""For orchestrators: `GET /health` (readiness, from the original specification), `/health/live` and `/autoscale`."""

import asyncio
from collections.abc import Callable, Collection
from functools import partial
from http import HTTPStatus
from typing import Final, Literal

import anyio.to_thread
from anyio import CapacityLimiter
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from triagem import servers
from triagem.contracts.errors import CHECK_STORES, NoModel, RegistryUnavailable, TriagemError
from triagem.contracts.ticket import Lane
from triagem.db.auth import Scope
from triagem.db.tickets.queries import results_by_external_id
from triagem.gateway.authentication import require_scope
from triagem.gateway.problems import NEEDS_KEY, RETRY_AFTER_S, ProblemError, problem_responses
from triagem.gateway.services import Services, ServicesDep
from triagem.inbox import Inbox
from triagem.inbox.lease import AT_WORK, COLLECTING, WARMING_UP, observed_states, paused, worker_states
from triagem.inbox.scaling import ScalingSignal, scaling_signal
from triagem.inbox.stream import full_lanes
from triagem.registry.no_model import LOST_STEP

router = APIRouter()

_TIMEOUT_S: Final = 5.0


class Health(BaseModel):
    """The body of a successful health check.

    `degraded`: an operator must fix the problem in `detail`. `collecting labels`: there is no model yet, and tickets
    are stored without a result.
    """

    status: Literal["healthy", "degraded", "collecting labels"] = Field(
        default="healthy", description="whether something needs attention"
    )
    detail: str | None = Field(
        default=None,
        description="what needs attention",
        examples=["the model registry has not answered for 10 s: check it"],
    )


NO_MODEL: Final = "there is no model yet: label messages at /console/start"


class Readiness:
    """Checks each store in its own thread: while a store hangs, probes do not occupy the threads of requests."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._limiter = CapacityLimiter(len(_STORES) + 1)  # one thread for `_describe`
        self._checking: dict[str, asyncio.Future[Health | str]] = {}

    async def check(self) -> Health | str:
        """Return the health, or a text that names all that is missing. Concurrent probes share one check."""
        for store, step in _STORES.items():
            if store not in self._checking or self._checking[store].done():
                check = partial(self._check, step)
                self._checking[store] = asyncio.ensure_future(
                    anyio.to_thread.run_sync(check, limiter=self._limiter, abandon_on_cancel=True)
                )
        checking = dict(self._checking)
        await asyncio.wait(checking.values(), timeout=_TIMEOUT_S)
        results = {
            store: future.result() if future.done() else f"{store} does not answer"
            for store, future in checking.items()
        }
        if problems := {store: result for store, result in results.items() if isinstance(result, str)}:
            return await anyio.to_thread.run_sync(self._describe, problems, limiter=self._limiter)
        return next((result for result in results.values() if isinstance(result, Health) and result.detail), Health())

    def _describe(self, problems: dict[str, str]) -> str:
        """All problems; those of servers that do not answer with the next step."""
        url, redis = self._services.database.engine.url, self._services.inbox.redis.get_connection_kwargs()
        addresses = {"Postgres": (url.host or "", url.port or 5432), "Redis": (redis["host"], redis["port"])}
        for store, address in addresses.items():
            problem = problems.get(store, "")
            if problem.startswith(f"{store} does not answer"):
                problems[store] = f"{problem}: {servers.local_step(address) or CHECK_STORES}"
        return "; ".join(problems.values())

    def _check(self, step: Callable[[Services], Health | str]) -> Health | str:
        try:
            return step(self._services)
        except TriagemError as error:
            return str(error)


def _tables(services: Services) -> Health:
    results_by_external_id(services.database, "", [""])  # fails without Postgres or its tables
    return Health()


def missing_model(services: Services) -> str | None:
    """The reasons that `/health` names while workers lack a model; None if one has a model, or without Redis."""
    try:
        health = _without_model(worker_states(services.inbox.redis).values())
        return _with_refusals(services.inbox, health).detail if health.detail else None
    except TriagemError:
        return None


def _with_refusals(inbox: Inbox, health: Health) -> Health:
    """The health with a pause and a full live lane. A full bulk lane is normal during an import."""
    full = "".join(full_lanes({Lane.LIVE: inbox.depth(Lane.LIVE)}, inbox.settings))
    if paused(inbox.redis):
        detail = f"paused, and {full}: texts are refused" if full else "paused: accepted texts wait"
        detail += " until `triagem resume`"
    elif full:
        detail = f"{full}: texts are refused until workers drain it"
    else:
        return health
    return Health(status="degraded", detail=f"{detail}; {health.detail}" if health.detail else detail)


def _without_model(states: Collection[str]) -> Health:
    if any(state.startswith(AT_WORK) for state in states):
        return Health()
    if lost := [state for state in states if LOST_STEP in state]:
        detail = f"{lost[0].removeprefix('waiting: ')}; meanwhile tickets are stored without a result"
        return Health(status="degraded", detail=detail)
    return Health(status="collecting labels", detail=NO_MODEL) if COLLECTING in states else Health()


def _workers(services: Services) -> Health | str:
    states = observed_states(services.inbox.redis).values()
    if not states:
        return servers.no_worker()
    if (health := _with_refusals(services.inbox, _without_model(states))).detail:
        return health
    if not any(state.startswith(AT_WORK) for state in states):
        reason = f", because the worker is not ready: {next(iter(states))}"
        detail = "texts wait" + (" until a worker has loaded the model" if WARMING_UP in states else reason)
        return Health(status="degraded", detail=detail)
    problems = [reason for state in states if (reason := state.partition(f"{AT_WORK}: ")[2])]
    return Health(status="degraded", detail=problems[0]) if problems else Health()


def _registry(services: Services) -> Health:
    """Check that the registry answers. Workers keep their loaded model, whatever the result."""
    try:
        services.registry.current()
    except NoModel:
        detail = "the gateway finds no model: check its TRIAGEM_REGISTRY_URL; workers keep the model that they run"
        return Health(status="degraded", detail=detail)
    except RegistryUnavailable as error:
        return Health(status="degraded", detail=str(error))
    return Health()


_STORES: Final[dict[str, Callable[[Services], Health | str]]] = {
    "Postgres": _tables, "Redis": _workers, "the model registry": _registry,
}  # fmt: skip


@router.get(
    "/health",
    tags=["health"],
    summary="Readiness: can a ticket be processed now?",
    response_model_exclude_none=True,
    responses=problem_responses(503),
)
async def health(request: Request) -> Health:
    """Return 503 with the missing part if Redis, Postgres or a worker is missing.

    Do not use it as a container's liveness probe: restarting the gateway fixes none of these.
    """
    readiness: Readiness = request.app.state.readiness
    result = await readiness.check()
    if isinstance(result, str):
        raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, result, {"Retry-After": RETRY_AFTER_S})
    return result


@router.get(
    "/health/live", tags=["health"], summary="Liveness: does the gateway answer?", response_model_exclude_none=True
)
async def live() -> Health:
    """Answer without checking any other service. For a container's liveness probe."""
    return Health()


@router.get(
    "/autoscale",
    tags=["operations"],
    summary="Number of workers needed",
    dependencies=[Depends(require_scope(Scope.READ))],
    responses=problem_responses(*NEEDS_KEY),
)
def autoscale(services: ServicesDep) -> ScalingSignal:
    """Return the number of workers as `desired`. `hold`: it is the current count, because a change would not help.

    While Redis is unavailable the answer is 503 without a number, which an autoscaler cannot mistake for zero.
    """
    return scaling_signal(services.inbox, services.scaling)
