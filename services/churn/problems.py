"""How the errors of churn's domain come out over HTTP."""

from services.churn.models.fitting import NotEnoughHistory
from services.churn.models.versions import UnknownModel
from services.churn.scoring.policy import InvalidPolicy
from services.churn.scoring.reading import UnknownCustomer
from services.churn.training.application import TrainingRunning
from shared.http.failures import DomainErrors
from shared.http.problems import ProblemError, conflict, not_found

DOMAIN_ERRORS: DomainErrors = {
    InvalidPolicy: lambda error: ProblemError(422, error.code, str(error)),
    NotEnoughHistory: lambda error: conflict(error.code, str(error)),
    TrainingRunning: lambda error: conflict(error.code, str(error)),
    UnknownCustomer: lambda error: not_found(str(error)),
    UnknownModel: lambda error: not_found(str(error)),
}
