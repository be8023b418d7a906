"""A power grid's control room: terse log entries of switching and faults, and outage reports."""

from __future__ import annotations

from fedlora_tui.organizations.grammar import Form, Trade, lines, table

CONTROL_LOG = Form(
    opening=lines("""
        {time 0-23} {substation}: breaker {breaker} tripped on {protection}, {circuit} lost.
        {time 0-23} {substation}: {plant} out for {work}, permit {permit} to {staff}.
        {time 0-23} desk taken over by {staff}, frequency 49.{90-99} hertz, load {310-990} megawatts.
        {time 0-23} alarm {substation}: {alarm} on {plant}.
        {time 0-23} switching schedule {permit} begun, {plant} at {substation}, {work}.
    """),
    middle=lines("""
        Breaker {breaker} [open and racked out|open, isolator locked], earths on both sides {time 0-23}.
        Auto-reclose {time 0-23} [successful after {2-9} seconds|not successful|blocked by the operator].
        {6-140} megawatts moved to {circuit}, bus coupler closed {time 0-23}.
        {circuit} at {71-112} per cent of rating, {generator} asked to reduce.
        Recorder: {phase} fault {2-47} kilometres out, thought to be {cause}.
        {voltage} busbar fell to {88-97} per cent, tap changer step {3-17}.
        About {2-98}00 customers off for {4-170} minutes.
        {generator} instructed to {20-280} megawatts for reserve.
        Line patrol out from {depot}, tower {11-190} to tower {191-320}.
        Relay settings checked by {staff.last}, [correct|out of date|swapped].
    """),
    closing=lines("""
        Restored in full {time 0-23}.
        Permit {permit} cancelled {time 0-23}.
        Normal running, documents cleared.
        Handed over to {staff} {time 0-23}.
        Regulator told, report in {2-9} days.
    """),
    length=(22, 34),
)

OUTAGE_REPORT = Form(
    opening=lines("""
        Outage report {permit}: loss of {circuit} between {substation} and {place} on {date}.
        Planned outage of {plant} at {substation} from {date}, requested by {depot} for {work}.
        Incident {permit}, {voltage} network, {substation}, cause {cause}.
    """),
    middle=lines("""
        {protection} operated in {40-160} milliseconds and cleared the fault as designed.
        The crew from {depot} found a broken {component} and made the line safe at {time 0-23}.
        During the outage the margin on {circuit} will be {5-60} megawatts, which is sufficient below {8-24} degrees.
        Thermal inspection of {plant} showed a hot joint at {64-121} degrees.
        Dissolved gas analysis of {plant} points to [ageing paper|arcing|overheating|no fault].
        Energy not supplied is estimated at {3-190} megawatt hours, customer minutes lost {2-60} thousand.
        Emergency return to service time is {2-24} hours.
        Vegetation had grown to within {2-5} metres of the conductors near {place}.
    """),
    closing=lines("""
        Recommended: replace the {component} on all towers of the same age.
        Approved by {staff}, outage planning, on {date}.
        The next inspection of {plant} is due in {month}.
        The outage may be recalled by the control room at any time.
    """),
)

POWER_GRID = Trade(
    name="power-grid",
    documents=(1900, 2600),
    length=(36, 48),
    forms=(CONTROL_LOG, CONTROL_LOG, OUTAGE_REPORT),
    words=table("""
        substation: {place} substation | {place} grid | {place} switching station | {place} substation
        circuit: {place} circuit {1-4} | the {place} feeder | the {place} tie line | {place} circuit {1-2}
        protection: distance protection | overcurrent protection | differential protection | earth fault protection
            | Buchholz protection | busbar protection
        plant: transformer {1-6} | busbar section {1-4} | the shunt reactor | capacitor bank {1-3} | the bus coupler
            | the earthing transformer | cable section {2-9}
        work: oil sampling | insulator washing | relay testing | tap changer overhaul | jointing | painting
            | bushing replacement | vegetation clearance
        alarm: low gas pressure | winding temperature high | battery charger failed | tap changer out of step
            | communication lost | oil level low
        generator: {place} hydro | the {place} wind farm | {place} gas turbine {1-3} | the {place} battery
        phase: single phase | two phase | three phase | high resistance earth
        cause: lightning | a bird | a fallen tree | a damaged cable joint | ice loading | a failed insulator | a crane
            | salt deposits | contractor damage
        voltage: 110 kilovolt | 220 kilovolt | 33 kilovolt | 132 kilovolt | 400 kilovolt
        depot: {place} depot | the line crew | {town} depot | the contractor
        component: insulator string | jumper | earth wire clamp | spacer | cable termination | surge arrester
    """),
    cast={
        "substation": "substation",
        "circuit": "circuit",
        "plant": "plant",
        "breaker": "110-990",
        "permit": "reference",
        "voltage": "voltage",
        "depot": "depot",
        "component": "component",
    },
    own={"plant": 5, "voltage": 2, "generator": 3, "depot": 2, "work": 6, "cause": 7},
)
