"""The one place where engagement is wired."""

from collections.abc import Callable
from datetime import timedelta

from services.engagement.consumers import use_cases
from services.engagement.contacts.application import SERVICE, Planner
from services.engagement.contacts.hand_over import HandOver
from services.engagement.contacts.http import CONTACT_ERRORS, contacts_router
from services.engagement.contacts.merging import Merging
from services.engagement.customers.application import Customers
from services.engagement.erasures.application import destroy
from services.engagement.exports.http import exports_router
from services.engagement.feedback.application import Feedback
from services.engagement.feedback.http import feedback_router
from services.engagement.jobs import jobs
from services.engagement.policies.http import policies_router
from services.engagement.providers.mail import MailServer
from services.engagement.providers.reachability import Reachability
from services.engagement.settings import EngagementSettings
from services.engagement.tasks.http import tasks_router
from services.engagement.tasks.verifying import Verifying
from shared.db import Database
from shared.http.auth import issue_token
from shared.messaging.erasures import Erasing
from shared.service import Service, Surroundings, Wake, assemble


def build(surroundings: Surroundings, settings: EngagementSettings) -> Service:
    """Engagement in its surroundings."""
    clock, house_zone = surroundings.clock, surroundings.house.time_zone
    db = Database(
        settings.database_url.get_secret_value(), pool_size=settings.pool_size, application_name=f"roost-{SERVICE}"
    )
    wake = Wake()
    planner = Planner(db, clock, house_zone, wake)
    reachability = Reachability(settings.profile_url, _internal_token(surroundings, settings))
    hand_over = HandOver(db, clock, house_zone, settings.locale, reachability, _mail_server(settings), wake)
    merging = Merging(clock, planner)
    erasing = Erasing(SERVICE, surroundings.erased, clock, destroy, merging.apply)
    customers = Customers(clock, surroundings.house.zone, withdraw=planner.withdraw, plan=planner.plan)
    return assemble(
        SERVICE,
        db=db,
        surroundings=surroundings,
        use_cases=use_cases(merging, customers, Feedback(clock, house_zone), erasing),
        jobs=jobs(planner, hand_over, Verifying(db, clock, surroundings.house.zone)),
        routers=[
            policies_router(db, clock),
            contacts_router(db, clock, wake),
            tasks_router(db, clock, wake),
            feedback_router(db, clock, wake, surroundings.erased),
            exports_router(db, clock),
        ],
        wake=wake,
        domain_errors=CONTACT_ERRORS,
        inbox_days=settings.inbox_days,
    )


def _internal_token(surroundings: Surroundings, settings: EngagementSettings) -> Callable[[], str]:
    if settings.internal_token is not None:
        return settings.internal_token.get_secret_value
    secret = surroundings.http.jwt_secret
    if secret is None:
        return str
    return lambda: issue_token(secret.get_secret_value(), "internal", ttl=timedelta(minutes=5), subject=SERVICE)


def _mail_server(settings: EngagementSettings) -> MailServer | None:
    if settings.smtp_host is None:
        return None
    password = settings.smtp_password.get_secret_value() if settings.smtp_password else None
    return MailServer(settings.smtp_host, settings.smtp_port, settings.smtp_sender, settings.smtp_user, password)
