import pytest

from tests.architecture import misplaced


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("services.profile.main", "services.profile.consumers"),
        ("services.profile.consumers", "services.profile.purchases.application"),
        ("services.profile.customers.http", "services.profile.customers.application"),
        ("services.profile.customers.application", "services.profile.purchases.application"),
        ("services.profile.customers.store", "services.profile.purchases.domain"),
        ("services.churn.scoring.application", "services.churn.models.quadrature"),
        ("services.profile.migrations.env", "services.profile.customers.store"),
        ("services.profile.customers.store.tables", "services.profile.customers.store.rows"),
        ("services.profile.main", "services.profile.settings"),
        ("services.profile.customers.application", "shared.messaging.outbox"),
    ],
)
def test_calls_down_the_rooms_are_kept(importer: str, imported: str) -> None:
    assert misplaced([(importer, imported)]) == []


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("services.profile.customers.domain", "services.profile.customers.store"),
        ("services.profile.customers.store", "services.profile.customers.application"),
        ("services.profile.customers.application", "services.profile.customers.http"),
        ("services.profile.customers.http", "services.profile.main"),
        ("services.profile.consumers", "services.profile.main"),
        ("services.profile.jobs", "services.profile.consumers"),
        ("services.profile.customers.domain", "services.profile.purchases.application"),
        ("services.profile.customers.application", "services.profile.purchases.store"),
        ("services.profile.customers.application", "services.profile.purchases.store.tables"),
        ("services.profile.customers.http", "services.profile.purchases.http"),
        ("services.churn.scoring.statistics", "services.churn.models.store"),
    ],
)
def test_calls_up_the_rooms_or_into_another_modules_store_are_broken(importer: str, imported: str) -> None:
    assert len(misplaced([(importer, imported)])) == 1
