"""A newsroom: agency reports with a place line, briefs from courts and sport, and the desk's own corrections."""

from __future__ import annotations

from fedlora_tui.organizations.grammar import Form, Trade, lines, table

REPORT = Form(
    opening=lines("""
        {dateline}, {date} ({agency}) - {mayor}, {office} of {place}, said on {weekday} that {plan} would [go
            ahead|be put off|cost more].
        {dateline}, {date} ({agency}) - {number} people were {hurt} when {accident} near {place}, {source} said.
        {dateline}, {date} ({agency}) - Shares in {company} {moved} {2-19} per cent after the firm {result}.
        {dateline}, {date} ({agency}) - Voters in {place} go to the polls on {weekday} to decide on {plan}.
    """),
    middle=lines("""
        "{quote}," {person} told reporters outside the {venue}.
        {critic} called the move [a step too far|long overdue|a costly mistake] and asked for {demand}.
        The {plan_short} is put at {money 2-98} million, {6-48} per cent more than in {month}.
        {source} gave no further details, but {person}, {24-81}, a witness, spoke of {sight}.
        In {place}, where {11-89} per cent backed the last vote, turnout reached {31-74} per cent by {time 12-20}.
        {company} employs about {2-48}00 people in {place} and {town}.
        A spokesperson for {critic} declined to comment on {weekday}.
        Traffic was diverted over {street} until {time 6-23}.
    """),
    closing=lines("""
        (Reporting by {staff}; editing by {staff})
        More to follow.
        A hearing is set for {date}. (Reporting by {staff})
        - {staff} and {staff}, {dateline}
    """),
)

COURT_BRIEF = Form(
    opening=lines("""
        COURT: {accused}, {19-77}, of {street}, {place}, was {sentence} over {crime}.
        COURT: {accused}, {19-77}, from {place} denied {crime} when the case opened on {weekday}.
        CORRECTION: in our report of {date} on {crime} we wrote {accused}; the name should read {person}.
    """),
    middle=lines("""
        Judge {person.last} spoke of {motive} and ordered costs of {money 300-9000}.
        {accused} has {7-28} days to appeal, lawyer {person} told the {venue}.
        {source} put the damage at {money 2000-90000} and found {8-90} {proof}.
        The case goes back to {date}, when {accused} lived in {place}.
    """),
    closing=lines("""
        Slug {crime.last}, {180-420} words, {staff.first}.
        For page {2-32}, sketch by {staff}.
        Embargo until {time 5-23}, {date}.
    """),
    length=(28, 42),
)

SPORT_BRIEF = Form(
    opening=lines("""
        SPORT: {place} {0-5}, {town} {0-5}. {person} scored in minute {2-89} before {1-29},{100-999} at the {venue}.
        SPORT: {person} of {place} won the {distance} in {2-58} minutes {2-59}, ahead of {person}.
        WEATHER: {sky} over {place} with {2-31} degrees, wind up to {20-110} kilometres an hour on {weekday}.
        DIARY {weekday} {time 7-21}: {mayor} opens {event} at the {venue}, photo desk please staff.
    """),
    middle=lines("""
        Coach {person} blamed {excuse}; {town} are now {ordinal} in the table.
        {source} warned of {sight} on roads round {place} from {time 3-20}.
        The next fixture is against {place} on {date}.
        Last year {event} drew {3-48},{100-999} visitors to {street}.
        {person}, {17-36}, is out for {2-9} weeks with a bad {injury}.
    """),
    closing=lines("""
        Slug {event.last}, {120-420} words, {staff.first}.
        For page {2-32}, picture by {staff}.
        Desk: {staff.first}, ext {200-899}.
    """),
    length=(28, 42),
)

NEWSROOM = Trade(
    name="newsroom",
    documents=(1200, 1900),
    length=(38, 50),
    forms=(REPORT, COURT_BRIEF, SPORT_BRIEF),
    words=table("""
        dateline: {town.upper}
        office: mayor | deputy mayor | finance chief | governor | transport minister
        plan: the new tram line | the stadium bid | the rent cap | the library merger | the bypass | the wind park
            | the congestion charge | the swimming hall
        plan_short: scheme | project | bill | plan
        number: Two | Three | Four | At least five | Seven | A dozen
        hurt: hurt | rescued | taken to hospital | evacuated | treated for shock
        accident: a lorry overturned | fire broke out in a warehouse | a gas main burst | a ferry ran aground
            | a crane collapsed | two trains touched | flood water broke a dyke
        source: police | the fire service | the coast guard | an official | the rail operator | prosecutors
        company: {brand} | {brand} Group | {brand} Foods | {brand} Air | {brand} Bank
        moved: rose | fell | jumped | slid | gained | lost
        result: missed forecasts | raised its outlook | named a new chief | cut {2-40}0 jobs | sold its {town} plant
            | won a state order
        quote: We will not be rushed | Nobody asked us | This is good news for families | The figures do not add up
            | We have waited {3-20} years | It happened in seconds | People are tired of promises
        critic: the opposition | the tenants' union | the chamber of commerce | the teachers' union | a residents' group
            | the audit office
        demand: an inquiry | a referendum | fresh talks | a full refund | his resignation
        sight: thick smoke | panic | black ice | grave neglect | a loud bang | flooded cellars | falling trees
        venue: town hall | {place} Arena | district court | {brand} Stadium | old market | concert hall
        sentence: fined {money 200-9000} | jailed for {2-9} years | acquitted | given {40-240} hours of community work
        crime: tax fraud | a bar fight | burglary | drink-driving | a forged will | dumping waste | insider trading
        sky: Sunny spells | Heavy showers | Fog | Light snow | Thunderstorms | Clear skies
        event: the book fair | the jazz week | the harvest parade | the half marathon | the food market
        excuse: tired legs | a soft penalty | the pitch | two red cards | poor finishing
        ordinal: third | fourth | top | bottom | ninth
        motive: greed | an unhappy evening | careful planning | deep regret | two earlier warnings
        proof: receipts | messages | fake stamps | empty barrels | bank slips | photographs
        distance: time trial | half marathon | {2-48}00 metres | cross-country race | triathlon
        injury: knee | ankle | shoulder | hamstring | back
        agency: {brand} News | {town} Press | {brand} Wire
    """),
    cast={"plan": "plan", "mayor": "person", "accused": "person", "company": "company", "dateline": "dateline"},
    own={
        "agency": 1,
        "plan": 5,
        "office": 3,
        "accident": 5,
        "critic": 4,
        "venue": 4,
        "quote": 5,
        "crime": 5,
        "event": 3,
        "source": 4,
    },
)
