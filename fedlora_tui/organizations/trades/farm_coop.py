"""A farm co-operative: circulars to its members in a neighbourly tone, and delivery and field records."""

from __future__ import annotations

from fedlora_tui.organizations.grammar import Form, Trade, lines, table

CIRCULAR = Form(
    opening=lines("""
        To all members: the {silo} takes in {crop} from {date}, mornings only, trailers to queue along {street}.
        Dear members, the price for {crop} this week stands at {money 120-980} the tonne, {trend}.
        Members are reminded that {machine} must be booked with {staff.first} by {weekday}.
        Minutes of {date}: {12-64} members present, {staff} in the chair, {crop} the main point.
    """),
    middle=lines("""
        Our agronomist {staff.first} found {pest} in fields round {place}; walk your {crop} before spraying.
        The share-out for {month} comes to {money 40-900} a share, paid on {date}.
        {machine} costs members {money 18-140} an hour and goes first to those with {crop} still standing.
        Seed of the variety {brand} is in, {5-60} bags left, orders to {staff.first}.
        It was agreed by {8-50} votes to {1-7} that the {silo} be repaired before the {crop} harvest.
        Rain of {4-60} millimetres is forecast for {weekday}, so cut {crop} while it is dry.
        The vet holds a clinic on {weekday} at {farmer}'s yard; bring papers for all {stock}.
    """),
    closing=lines("""
        Good harvest to you all, {staff}, secretary.
        Coffee and cake afterwards at {farmer}'s barn.
        Questions to {staff.first} on {phone}, after milking please.
        {town} Growers, by order of the board, {staff}.
    """),
)

DELIVERY = Form(
    opening=lines("""
        Ticket {ticket}, member {farmer}: {3-28}.{0-9} tonnes {crop} into the {silo} on {date}.
        Weighbridge {time 6-21}: {farmer}, {crop}, gross {8000-39900} kilos, ticket {ticket}.
        Field record, {farmer}, {address}: {crop} on {2-34} hectares, {work} on {date}.
        Milk from {farmer}, tank {1-9}: {400-6800} litres, fat {3-4}.{10-99}, cells {60-390} thousand.
    """),
    middle=lines("""
        Moisture {11-19}.{0-9} per cent, protein {9-15}.{0-9}, test weight {66-84}, dried at {money 4-19} the tonne.
        Deducted {1-9}.{0-9} per cent for {pest}, sample {ticket} kept till {month}.
        {work} with {machine}, {1-9}.{0-9} hours, diesel {20-180} litres, driver {staff.first}.
        Ground was [heavy|dusty|frozen on top|just right], yield about {2-11}.{0-9} tonnes the hectare.
        {2-48} head of {stock} moved to the {place} pasture, ear tags {1000-4999} to {5000-9999}.
        Paid {money 900-48000} on account {account 8}, the rest after the {month} pool.
        Spread {80-420} kilos of {feed} the hectare, wind {1-4} from the west.
    """),
    closing=lines("""
        Weighed by {staff.first}, signed {farmer}.
        Graded {letter}, {silo} bin {1-24}.
        Next {work} about {date}.
        Entered in the field book by {staff}.
    """),
)

FARM_COOP = Trade(
    name="farm-coop",
    documents=(1000, 1600),
    length=(30, 40),
    forms=(CIRCULAR, DELIVERY, DELIVERY),
    words=table("""
        silo: {place} silo | north elevator | grain store {1-4} | {town} depot | drying shed
        crop: winter wheat | spring barley | rapeseed | sugar beet | silage maize | potatoes | field beans | oats
            | clover hay | rye | sunflowers
        trend: up a little | down on last week | steady | held until the weekend
        machine: the combine | the big baler | the slurry tanker | the seed drill | the potato lifter | the sprayer
            | the low loader
        pest: aphids | rust | blackgrass | ergot | wireworm | mildew | pollen beetle | slugs | wild oats
        stock: heifers | ewes | dairy cows | weaned calves | sows | bullocks
        work: ploughing | drilling | rolling | spraying | baling | harrowing | lifting | mowing
        feed: lime | potash | composted manure | ammonium nitrate | digestate | basalt meal
    """),
    cast={"farmer": "person", "crop": "crop", "silo": "silo", "ticket": "reference", "machine": "machine"},
    own={"silo": 2, "crop": 6, "machine": 4, "pest": 5, "stock": 3, "work": 5, "feed": 3},
)
