"""A city's permit office: decisions on applications, and site inspections, in the office's own passive."""

from __future__ import annotations

from fedlora_tui.organizations.grammar import Form, Trade, lines, table

DECISION = Form(
    opening=lines("""
        Application {file}: {applicant} seeks permission for {project} at {site}, {zone} zone.
        Permit {file} is hereby [granted|granted with conditions|refused] for {project} at {site}.
        The application of {applicant} for {project} at {site} was received on {date} and is considered complete.
        Public notice: {project} is proposed at {site}, plot {11-980}, under file {file}.
    """),
    middle=lines("""
        The proposed height of {4-24} metres [complies with|exceeds] the limit for the {zone} zone.
        A setback of {2-9} metres from the {boundary} shall be maintained at all times.
        {2-14} objections were received from neighbours, mainly on grounds of {objection}.
        The {department} raises no objection, provided that {condition}.
        The applicant is required to submit {document} before any work is commenced.
        Works shall be carried out between {time 7-9} and {time 16-19} on weekdays only.
        The permit lapses if the works are not begun within {6-36} months of the date of issue.
        A fee of {money 80-4200} is payable, and the permit shall be displayed at the {boundary}.
        {parking} parking spaces shall be provided in accordance with section {12-88} of the zoning ordinance.
        The site lies within the {place} conservation area, and the facade shall be retained.
    """),
    closing=lines("""
        An appeal may be lodged with the board of adjustment within {14-30} days.
        Case officer {staff}, Department of Planning, {town}.
        The decision was adopted by the committee on {date}.
        The file may be inspected at the office, room {1-40}, during opening hours.
    """),
)

INSPECTION = Form(
    opening=lines("""
        Inspection of {site} carried out on {date} by {staff} under permit {file}.
        Site visit, {file}: {project} at {site} was found to be [under way|complete|halted|not begun].
        Complaint of unauthorised works at {site}, namely {project}, investigated by {staff} on {date}.
    """),
    middle=lines("""
        The {element} [conforms to|deviates from] the approved drawings.
        The {element} was found to lack {document}, and a notice was posted at the {boundary}.
        The contractor was instructed that {condition}.
        Measurements taken on site show a distance of {1-8}.{0-9} metres to the {boundary}.
        Fire exits are [unobstructed|blocked by stored material], and {2-9} extinguishers are in date.
        The {department} has been asked for comment on the {element}.
        Debris on the footway has to be removed within {24-72} hours.
        Occupancy shall not be permitted until {document} has been received.
    """),
    closing=lines("""
        Result: [passed|passed with remarks|failed, reinspection required|stop work order issued].
        A reinspection is scheduled for {date}, fee {money 60-240}.
        Photographs {3-40} to {41-60} have been placed on the file.
        The owner, {applicant}, was informed in writing at {address}.
    """),
)

CITY_PERMITS = Trade(
    name="city-permits",
    documents=(1200, 1800),
    length=(36, 50),
    forms=(DECISION, INSPECTION),
    words=table("""
        applicant: {person} | {brand} Builders | {person} | {town} Housing Association | {brand} Cafe
        site: {address} | {address} | the corner of {street} and {street}
        project: a rear extension | a loft conversion | an outdoor seating area | the demolition of a garage
            | a change of use from shop to restaurant | a two-storey dwelling | an illuminated sign | a roof terrace
            | the felling of two trees | solar panels on the roof | a temporary event | a new vehicle access
        zone: residential | mixed use | commercial | light industrial | waterfront | historic core
        boundary: front boundary | side boundary | public footway | rear lot line | neighbouring building
        objection: loss of light | noise | traffic | overlooking | loss of trees | parking | flood risk
        department: fire department | highways department | heritage officer | tree officer | drainage board
            | environmental health office
        condition: surface water is drained within the plot | matching brick is used | the hedge is kept
            | dust is kept down | the crossover is reinstated | the exit remains clear | no amplified music is played
        document: a drainage plan | a structural calculation | an asbestos survey | a noise assessment
            | an energy certificate | a landscaping scheme | a traffic plan
        element: foundation | staircase | roof structure | retaining wall | scaffolding | electrical installation
            | ventilation duct | ramp
        parking: Two | Three | Four | Six | Ten
    """),
    cast={
        "applicant": "applicant",
        "project": "project",
        "site": "site",
        "zone": "zone",
        "file": "reference",
        "boundary": "boundary",
        "element": "element",
    },
    own={"project": 8, "zone": 4, "department": 4, "document": 5, "element": 6, "condition": 5},
)
