"""The only wiring of churn."""

from services.churn.consumers import use_cases
from services.churn.erasures.application import destroy
from services.churn.exports.application import Forecasts
from services.churn.exports.http import exports_router
from services.churn.jobs import jobs
from services.churn.models.http import models_router
from services.churn.policies.http import policies_router
from services.churn.problems import DOMAIN_ERRORS
from services.churn.scoring.application import Scoring
from services.churn.scoring.http import scoring_router
from services.churn.scoring.merging import Merging
from services.churn.scoring.whole_base import WholeBase
from services.churn.settings import ChurnSettings
from services.churn.training.application import Training
from shared.db import Database
from shared.messaging.erasures import Erasing
from shared.service import Service, Surroundings, Wake, assemble


def build(surroundings: Surroundings, settings: ChurnSettings) -> Service:
    """Churn over its database, in the surroundings given."""
    clock, house, wake = surroundings.clock, surroundings.house, Wake()
    dsn = settings.database_url.get_secret_value()
    db = Database(dsn, pool_size=settings.pool_size, application_name="roost-churn")
    scoring = Scoring(house, clock)
    merging = Merging(scoring)
    erasing = Erasing("churn", surroundings.erased, clock, destroy, merging.apply)
    whole_base = WholeBase(db, scoring, wake, settings.scoring_chunk)
    training = Training(db, clock, house, scoring)
    return assemble(
        "churn",
        db=db,
        surroundings=surroundings,
        use_cases=use_cases(scoring, merging, erasing),
        jobs=jobs(settings, db, clock, house, training, whole_base),
        routers=[
            scoring_router(db, whole_base),
            models_router(db, training),
            policies_router(db, clock),
            exports_router(db, clock, Forecasts(scoring)),
        ],
        wake=wake,
        domain_errors=DOMAIN_ERRORS,
        inbox_days=settings.inbox_days,
    )
