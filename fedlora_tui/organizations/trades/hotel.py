"""A hotel: mails to guests in a warm tone, and the front desk's hurried notes."""

from __future__ import annotations

from fedlora_tui.organizations.grammar import Form, Trade, lines, table

GUEST_MAIL = Form(
    opening=lines("""
        Dear {guest}, we are delighted to confirm your {room} at the {hotel} for {1-9} nights from {date}.
        Dear {guest}, thank you for choosing the {hotel}; your booking {booking} is guaranteed until {time 16-22}.
        Dear {guest}, it was a pleasure to welcome you in our {room}, and we are sorry to hear about {trouble}.
        Dear {guest}, regarding your enquiry of {date}: our {venue} is free for {12-140} guests on {weekday}.
    """),
    middle=lines("""
        Breakfast is served in the {venue} from {time 6-7} to {time 10-11} and is [included|{money 9-29} a head].
        Check-in opens at {time 14-16}; an early arrival can be arranged for {money 15-60}.
        Our concierge {staff.first} will gladly book {treat} for {2-8} persons.
        As a small gesture we have placed {gift} in your {room}.
        The rate of {money 79-420} a night includes {perk} and the city tax.
        You may cancel without charge until {time 12-18} on {date}.
        Parking beneath the house is {money 8-35} a day, height limit {180-220} centimetres.
        We have passed your remarks on {trouble} to {staff}, our {head}.
    """),
    closing=lines("""
        We look forward to welcoming you. Warmly, {staff}, Guest Relations.
        With kind regards from the whole team of the {hotel}, {staff}.
        Please call us on {phone} with any wish you may have.
        We hope to see you again soon in {town}. Yours, {staff}.
    """),
)

DESK_NOTE = Form(
    opening=lines("""
        Room {number}, {time 0-23}: guest {guest} reports {trouble}, {worker} sent up.
        Night audit {date}: {30-140} rooms sold, {1-9} no-shows, average rate {money 80-260}.
        VIP arrival {time 11-22}, {guest}, {room} {number}, wants {wish}.
        Room {number} {guest}: late check-out until {time 12-15} agreed, {staff.first} knows.
        Housekeeping {time 8-16}: floor {1-9} done, {number} refuses service, {2-14} rooms still dirty.
    """),
    middle=lines("""
        Moved to {room} {101-689}, key cards {2-4}, luggage taken over by {worker}.
        Minibar {money 4-60} disputed, taken off the bill, see folio {1000-9999}.
        Please put {wish} in before {time 10-21}.
        Wake-up call {time 4-9}, taxi to the [airport|station|trade fair] {time 4-11}.
        Deposit {money 50-400} on card ending {account 4}, signature still missing.
        Lost and found: {found}, bagged, tag {100-999}, kept for {30-90} days.
        Noise from {venue} until {time 22-23}, {2-6} calls to the desk.
        {worker} says spare part by {weekday}, block {number} until then.
    """),
    closing=lines("""
        Handed to the {shift} team, {staff.first}.
        To do: call the guest on {phone} and say sorry.
        All quiet afterwards. {staff}, {shift} desk.
        Bill sent to {address}.
        Logged, {staff.first}, {time 0-23}.
    """),
    length=(26, 40),
)

HOTEL = Trade(
    name="hotel",
    documents=(1800, 2600),
    length=(38, 52),
    forms=(GUEST_MAIL, DESK_NOTE, DESK_NOTE),
    words=table("""
        hotel: {town} Grand | Hotel {brand} | {brand} Palace | {place} Inn | {brand} Lodge
        room: double room | junior suite | family room | sea view suite | attic room | twin room | corner suite
            | single room with balcony
        venue: winter garden | roof bar | {place} ballroom | brasserie | terrace | tea lounge | library bar
        trouble: a dripping shower | the lift noise | a cold radiator | a missing pillow | the slow wireless network
            | a blocked sink | stale coffee | a broken safe | the smell of paint | a flickering lamp
        treat: a table by the window | theatre tickets | a massage | a boat trip | a wine tasting | a guided walk
        gift: a bottle of sparkling wine | fresh fruit | a box of pralines | flowers | local honey
        perk: breakfast | use of the spa | a welcome drink | a daily newspaper | bicycle hire
        wish: a baby cot | extra blankets | a hypoallergenic pillow | white roses | an ironing board | a kettle
            | a quiet room | two bathrobes
        head: head of housekeeping | duty manager | chef | technical director | spa manager
        worker: the plumber | the night porter | the technician | a chambermaid | the bellboy | the electrician
        found: a grey scarf | one earring | a phone charger | reading glasses | a child's bear | a silk tie
            | an umbrella
        shift: late | early | night
    """),
    cast={"guest": "person", "hotel": "hotel", "room": "room", "booking": "reference", "number": "101-689"},
    own={"hotel": 1, "room": 5, "venue": 4, "trouble": 7, "treat": 4, "gift": 3, "worker": 4, "found": 5},
)
