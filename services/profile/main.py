"""Profile, wired."""

from services.profile.accesses.application import AccessRecord
from services.profile.accesses.http import Recorded, accesses_router
from services.profile.attributes.http import attributes_router
from services.profile.consents.application import Consents
from services.profile.consents.http import consents_router
from services.profile.consumers import use_cases
from services.profile.contact_persons.application import ContactPersons
from services.profile.contact_persons.http import contact_persons_router
from services.profile.counting.application import Counting
from services.profile.customers.application import SERVICE, Customers
from services.profile.customers.hand_over import hand_over_router
from services.profile.customers.http import customers_router
from services.profile.demand.application import Demands
from services.profile.demand.http import demand_router
from services.profile.duplicates.application import Duplicates
from services.profile.duplicates.http import duplicates_router
from services.profile.duplicates.matching import Matching
from services.profile.erasures.application import FIGURED, Alarm, Erasures
from services.profile.erasures.http import erasures_router
from services.profile.events.application import Events
from services.profile.events.http import events_router
from services.profile.events.resolving import References
from services.profile.exports.application import Exports
from services.profile.exports.http import exports_router
from services.profile.identifiers.application import Identifiers
from services.profile.identifiers.http import identifiers_router
from services.profile.identities.application import Identities
from services.profile.identities.http import identities_router
from services.profile.imports.application import Imports
from services.profile.imports.http import imports_router
from services.profile.imports.working import Working
from services.profile.jobs import jobs
from services.profile.metrics.application import Metrics
from services.profile.metrics.http import metrics_router
from services.profile.metrics.reporting import Reporting
from services.profile.notes.application import Notes
from services.profile.notes.http import notes_router
from services.profile.overview.application import Overviews
from services.profile.patterns.application import Patterns
from services.profile.patterns.http import patterns_router
from services.profile.patterns.watching import Watching
from services.profile.policies.http import policies_router
from services.profile.policies.table import table
from services.profile.preferences.http import preferences_router
from services.profile.products.application import Catalogue
from services.profile.products.http import products_router
from services.profile.purchases.application import PurchaseHistory
from services.profile.purchases.converting import Converting
from services.profile.purchases.domain import House
from services.profile.purchases.http import purchases_router
from services.profile.rates.application import RateBook
from services.profile.rates.http import rates_router
from services.profile.reachability.http import reachability_router
from services.profile.recommendations.application import Recommendations
from services.profile.recommendations.http import recommendations_router
from services.profile.reports.application import Reports
from services.profile.restrictions.application import Restrictions
from services.profile.restrictions.http import restrictions_router
from services.profile.segments.application import Placing
from services.profile.segments.catalogue import OwnSegments
from services.profile.segments.explaining import Explaining
from services.profile.segments.http import segments_router
from services.profile.segments.policing import Policing
from services.profile.segments.recalibration import Recalibrations
from services.profile.settings import ProfileSettings
from services.profile.timeline.application import Timeline
from services.profile.timeline.http import timeline_router
from services.profile.vault.application import Vault
from shared.db import Database
from shared.messaging.erasures import Erasing
from shared.service import Service, Surroundings, Wake, assemble


def build(surroundings: Surroundings, settings: ProfileSettings) -> Service:
    """The service; nothing runs yet, nothing is connected."""
    db = Database(
        settings.database_url.get_secret_value(), pool_size=settings.pool_size, application_name="roost-profile"
    )
    clock, wake = surroundings.clock, Wake()
    house = House(surroundings.house.currency, surroundings.house.time_zone)
    vault = Vault(db, settings.master_secrets)
    erased = surroundings.erased
    customers = Customers(clock, settings.phone_region, vault, erased, house.day)
    restrictions = Restrictions(customers)
    record = AccessRecord(db, clock, erased.digest)
    history = PurchaseHistory(customers, house)
    timeline = Timeline(customers)
    identities = Identities(customers, history)
    erasures = Erasures(customers, erased, surroundings.secret_for("receipts"))
    erasing = Erasing(SERVICE, erased, clock, erasures.destroy, identities.apply, FIGURED)
    alarm = Alarm(db, erasures)
    identifiers = Identifiers(customers, identities)
    events = Events(clock, References(customers, identifiers), erased)
    matching = Matching(db, clock, customers, identities, wake)
    counting = Counting(db, clock, house)
    catalogue = Catalogue(clock)
    placing = Placing(db, clock, house, wake)
    own_segments = OwnSegments(db, clock, house)
    converting = Converting(history, db, clock)
    metrics, reports = Metrics(counting, house, clock), Reports(clock)
    reporting = Reporting(metrics, reports, counting, db)
    watching = Watching(counting, house, db, clock, wake)
    imports = Working(customers, identities, db, wake)
    service = assemble(
        SERVICE,
        db=db,
        surroundings=surroundings,
        use_cases=use_cases(history, timeline, identities, erasures, erasing),
        jobs=jobs(
            events, counting, placing, imports, converting, reporting, watching, matching, vault, alarm, db, clock,
            surroundings.house, settings.inbox_days,
        ),
        routers=[
            events_router(events, db, wake),
            customers_router(customers, Overviews(customers, house, clock), db, wake),
            hand_over_router(customers, db, wake),
            consents_router(Consents(), customers, db, clock, wake),
            preferences_router(customers, db, wake),
            identities_router(identities, db, wake),
            erasures_router(erasures, db, wake),
            imports_router(Imports(customers, db), db, clock),
            identifiers_router(identifiers, customers, db),
            duplicates_router(Duplicates(identities), identities, db, wake),
            purchases_router(history, customers, db),
            attributes_router(db),
            contact_persons_router(ContactPersons(customers), customers, db),
            notes_router(Notes(customers), customers, db),
            timeline_router(timeline, customers, db),
            patterns_router(Patterns(house, clock), customers, db),
            demand_router(Demands(counting, house, clock), own_segments, db),
            products_router(catalogue, db, wake),
            rates_router(RateBook(clock, house), db),
            recommendations_router(
                Recommendations(catalogue, counting, house, clock), restrictions, customers, db
            ),
            restrictions_router(restrictions, customers, db, wake),
            accesses_router(record, customers, db),
            exports_router(Exports(customers, ContactPersons(customers), identifiers, record), customers, record, db),
            metrics_router(metrics, reports, db),
            segments_router(own_segments, Explaining(clock, house), Recalibrations(clock, house), db, wake),
            policies_router(table(Policing(db, clock, house)), db, wake),
            reachability_router(vault, db),
        ],
        wake=wake,
        inbox_days=settings.inbox_days,
    )
    service.app.state.registry.register(alarm)
    service.app.add_middleware(Recorded, record=record)
    record.measure(service.app.state.registry)
    service.closing.append(record.close)
    return service
