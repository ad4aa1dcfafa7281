"""Whose data was asked for isn't there any more: 410 in place of 404, to staff."""

from starlette.requests import Request

from shared.http.auth import Principal
from shared.http.gates import admitted
from shared.http.problems import ProblemError


async def or_gone(request: Request, problem: ProblemError) -> ProblemError:
    """The problem, or that the customer in the path was erased: looked up only where the answer would be 404.

    A customer's own token hears 404, as of everybody else: nobody learns from it who was ever there.
    """
    parameter = getattr(request.scope.get("route"), "customer", None)
    is_erased = getattr(request.app.state, "is_erased", None)
    if problem.status != 404 or parameter is None or is_erased is None:
        return problem
    is_staff = any(isinstance(found, Principal) and found.customer_id is None for found in admitted(request))
    if is_staff and await is_erased(request.path_params[parameter]):
        return ProblemError(410, "customer-erased", "This customer was erased.")
    return problem
