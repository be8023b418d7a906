"""A foundry: melt shop log lines in the tersest style, and casting inspection slips."""

from __future__ import annotations

from fedlora_tui.organizations.grammar import Form, Trade, lines, table

MELT_LOG = Form(
    opening=lines("""
        Heat {heat} {grade}, {furnace} tapped {time 0-23} at {1380-1640} C.
        {time 0-23} {furnace} charged {400-4800} kg {charge}, heat {heat}.
        Heat {heat}: {time 0-23} spectro C {2-3}.{10-99} Si {1-2}.{10-99} Mn 0.{10-89}, {verdict}.
        {furnace} {time 0-23} power {210-980} kW, lining {3-48} heats, {grade} next.
        Ladle {1-9} {time 0-23}, heat {heat}, {grade}, {600-2400} kg to {line}.
    """),
    middle=lines("""
        Added {4-90} kg {additive}, stirred {1-6} min, slag off.
        Pour {2-48} moulds {part}, {6-40} s each, temp drop {12-70} C.
        {line} stop {3-55} min, {stop}.
        Sand moisture {2-4}.{0-9} pct, compact {34-46}, strength {140-210}.
        Wedge {1-9} mm chill, {verdict}.
        Pig out {20-300} kg, runner froze at mould {3-40}.
        Thermocouple {1-9} dead, swapped {time 0-23}.
        {staff.last} on crane, {staff.last} on furnace.
    """),
    length=(20, 28),
    joint=" / ",
)

INSPECTION_SLIP = Form(
    opening=lines("""
        Slip {slip}: {part} from heat {heat}, {12-480} pcs, pattern {100-999}.
        {part}, pattern {100-999}, heat {heat}: {1-60} of {61-480} pcs held for {defect}.
        Customer {customer} returns {1-40} pcs {part}, slip {slip}, claim {defect}.
    """),
    middle=lines("""
        Hardness {140-269} HB, tensile {180-720} MPa, elongation {1-18} pct.
        {defect} found near the {spot}, depth {0-6}.{1-9} mm, X-ray {3-80}.
        Nodularity {70-96} pct, ferrite {5-80}, no carbides.
        Dimension {12-640}.{0-9} mm on the {spot}, tolerance plus {0-1}.{1-9}.
        Likely cause {stop} on {line} during heat {heat}.
        Shot blast {4-15} min, ground by {staff.last}, recheck {weekday}.
    """),
    closing=lines("""
        {verdict}, {staff.last}.
        Scrap {1-60} pcs, remelt, {staff.last} {date}.
        Weld repair allowed on the {spot}, sign {staff}.
        Ship {20-460} pcs to {customer}, lot {slip}.
    """),
    length=(26, 38),
    joint=" / ",
)

FOUNDRY = Trade(
    name="foundry",
    documents=(2600, 3400),
    length=(24, 36),
    forms=(MELT_LOG, MELT_LOG, INSPECTION_SLIP),
    words=table("""
        furnace: furnace A | furnace B | cupola {1-2} | holder {1-3} | arc furnace
        grade: GJL-250 | GJS-400-15 | GJS-600-3 | GJL-200 | steel 1.4308 | GJS-500-7 | steel GS-45
        charge: pig iron | steel scrap | returns | briquettes | cast scrap | busheling
        additive: ferrosilicon | carburizer | ferromanganese | magnesium master alloy | copper | inoculant
            | ferrochrome | aluminium shot
        line: line {1-3} | the {place} line | hand moulding | the core shop | the disc line
        part: brake disc | pump housing | valve body | gearbox cover | flywheel | manhole frame | bearing block
            | exhaust manifold | counterweight | hydraulic block
        stop: core crush | sand leak | hydraulic fault | late ladle | mould shift | wet sand | pattern change
            | vent blocked
        defect: blowholes | cold shut | sand inclusion | shrinkage | misrun | hot tear | slag inclusion | core shift
        spot: flange | upper boss | ingate | rib | bore | parting line | riser neck
        verdict: released | on hold | ok | repeat | accepted with deviation | not ok
        customer: {brand} Pumps | {brand} Brakes | {town} Works | {brand} Drives
    """),
    cast={
        "heat": "10200-98700",
        "grade": "grade",
        "furnace": "furnace",
        "part": "part",
        "line": "line",
        "slip": "reference",
    },
    own={"furnace": 3, "grade": 4, "charge": 4, "additive": 5, "line": 3, "part": 6, "stop": 5, "defect": 6, "spot": 5},
)
