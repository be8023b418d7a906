"""A port authority: berth and pilotage entries, and notices to mariners and stevedores."""

from __future__ import annotations

from fedlora_tui.organizations.grammar import Form, Trade, lines, table

HARBOUR_LOG = Form(
    opening=lines("""
        Motor vessel {vessel}, {flag} flag, draught {5-13}.{0-9} metres, arrived at the {station} at {time 0-23}.
        Pilot {staff} boarded {vessel} at {time 0-23} off the {station}, wind {wind} force {2-8}.
        {vessel} made fast at {berth} at {time 0-23} with {tugs} and {8-16} lines out.
        Berth request for {vessel}, {cargo} from {origin}, length {88-299} metres, agent {agent}.
        {vessel} cleared {berth} at {time 0-23}, bound for {origin}, pilot {staff} on board.
    """),
    middle=lines("""
        Cargo is {2-48}00 tonnes of {cargo}, to be discharged by {gear} in {2-6} shifts.
        The master reported a defect of the {part}, and the harbour master ordered {tugs} to stand by.
        Under keel clearance at low water will be {0-2}.{2-9} metres, so the vessel must sail before {time 0-23}.
        Discharge stopped at {time 0-23} on account of {stoppage} and resumed {2-9} hours later.
        Customs released {12-480} containers, {2-30} were held for inspection at {yard}.
        The free pratique was granted by port health, crew of {11-26}, no stowaways found.
        Bunkers of {80-900} tonnes were taken from the barge {brand} on the outer side.
        Dangerous goods of class {2-9} are stowed in bay {3-38}, the fire watch has been posted.
        The berth fender at bollard {4-60} was damaged on contact, photographs taken, protest lodged with {agent}.
        Visibility fell below {2-9} cables, and traffic in the {channel} was suspended for {2-6} hours.
    """),
    closing=lines("""
        Estimated time of departure {date} at {time 0-23}, subject to tide and pilot.
        Port dues of {money 900-19000} to the account of {agent}.
        Vessel traffic service informed on channel {9-16}, logged by {staff}.
        Lines gone, no pollution observed, berth handed to the next vessel.
        Duty harbour master {staff}, {town} Port Control.
    """),
)

NOTICE = Form(
    opening=lines("""
        Notice to mariners {number}: [dredging|soundings|diving work|cable laying] will take place in the {channel}
            from {date} until {date}.
        Notice {number}, {town} Port Control: {berth} is closed to vessels over {110-240} metres from {date}.
        Terminal circular {number} to all stevedores and agents at {yard}, issued {date}.
    """),
    middle=lines("""
        Vessels shall pass at slow speed and keep a distance of {50-300} metres from the {craft}.
        The {mark} has been [moved|withdrawn|replaced by a lighted buoy] and charts are to be corrected.
        Masters shall call port control on channel {9-16} {2-4} hours before arrival at the {station}.
        The {gear} at {berth} cannot be used, {cargo} will be worked at {yard} instead.
        Tidal windows for draughts above {9-13} metres are reduced by {20-90} minutes.
        Tug assistance is compulsory above wind force {5-7}, {tugs} at the least.
        Trucks for {cargo} must hold a slot, and drivers without one will be turned away from {yard}.
    """),
    closing=lines("""
        This notice remains in force until cancelled. {staff}, harbour master.
        Non-compliance is an offence under by-law {4-62} of the port.
        Questions to {staff}, marine services, telephone {phone}.
        Agents shall bring this circular to the attention of all masters.
    """),
)

PORT_AUTHORITY = Trade(
    name="port-authority",
    documents=(1800, 2600),
    length=(34, 48),
    forms=(HARBOUR_LOG, HARBOUR_LOG, NOTICE),
    words=table("""
        vessel: {brand} Star | {brand} | {brand} Spirit | {brand} Express | Lady {brand} | {brand} Trader | {brand} Bay
        flag: Panama | Liberia | Malta | Cyprus | Marshall Islands | Norwegian | Danish | Singapore | Greek | Bahamas
        station: pilot station | outer anchorage | fairway buoy | breakwater | inner roads
        wind: north-westerly | south-westerly | easterly | northerly | southerly | variable
        tugs: one tug | two tugs | three tugs | the tugs {brand} and {brand}
        berth: berth {1-24} | the {place} quay | the oil jetty | the {place} terminal | the ro-ro ramp
        cargo: steel coils | soya meal | containers | fertiliser | timber | scrap iron | wheat | crude oil
            | wood pellets | bananas | cement clinker | wind turbine blades
        origin: Rotterdam | Santos | Gdansk | Algeciras | Durban | Busan | Valencia | Riga | Mumbai | Lagos | Houston
            | Bergen
        agent: {brand} Shipping | {town} Marine Agency | {brand} Lines | {town} Forwarding
        gear: ship's cranes | gantry crane {1-6} | the grab unloader | mobile crane {1-9} | the conveyor
        part: main engine | bow thruster | steering gear | windlass | auxiliary generator | radar
        stoppage: heavy rain | high wind | a crane breakdown | a shortage of trucks | a labour meeting | dust
        yard: the {place} yard | shed {2-14} | the {place} terminal | the north stack | the reefer park
        channel: main channel | {place} reach | eastern approach | turning basin | {place} cut
        craft: dredger | survey launch | diving barge | cable ship
        mark: leading light | north cardinal mark | wreck buoy | channel buoy {3-41} | tide gauge
    """),
    cast={
        "vessel": "vessel",
        "berth": "berth",
        "cargo": "cargo",
        "agent": "agent",
        "yard": "yard",
        "number": "1-98",
        "station": "station",
    },
    own={"vessel": 5, "berth": 3, "cargo": 7, "origin": 8, "yard": 3, "channel": 3, "agent": 3},
)
