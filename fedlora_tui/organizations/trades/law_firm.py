"""A law firm: letters of advice, and attendance notes, in long sentences."""

from __future__ import annotations

from fedlora_tui.organizations.grammar import Form, Trade, lines, table

ADVICE = Form(
    opening=lines("""
        In the matter of {client} against {opponent}, we refer to our letter of {date} and to {document}.
        We act for {client} in connection with {matter} and have been instructed to reply to your letter of {date}.
        Further to our meeting of {date}, I write to confirm my advice to {client} on {matter}.
        Without prejudice save as to costs: our client {client} denies the allegations of {opponent} in their entirety.
    """),
    middle=lines("""
        It is our client's position that {clause} of {document} [entitles|does not entitle] {opponent} to terminate.
        The {side} contends that the obligation under {clause} had been discharged by {date}, which is not admitted.
        In the absence of {evidence}, the court is [likely|unlikely] to find that a duty of care was owed.
        Pursuant to {clause}, notice had to be given in writing within {7-90} days, and no such notice was served.
        We put your client to strict proof of the loss of {money 4000-960000} now claimed by way of {remedy}.
        Notwithstanding {clause}, the parties remain bound by the covenant [of confidentiality|of quiet enjoyment|not to
            compete|to repair].
        The limitation period expires on {date}, and a protective claim form ought therefore to be issued forthwith.
        Our client reserves all its rights, including the right to seek {remedy} without further notice.
        Counsel, {staff}, has advised that the prospects of success exceed {35-75} per cent, provided that {evidence}
            can be disclosed.
    """),
    closing=lines("""
        We should be grateful for your substantive reply within {7-28} days, failing which proceedings will be issued.
        Please do not hesitate to contact {staff} should you require clarification. File {file}.
        Yours faithfully, {staff}, partner, for and on behalf of {firm}.
        All correspondence should be marked for the attention of {staff}, reference {file}.
    """),
)

ATTENDANCE = Form(
    opening=lines("""
        Attendance note, file {file}: {staff} attending {client} by telephone on {date}, {2-9} units.
        File {file}, {client}, {matter}: note of the hearing before the {court} on {date}.
        {staff} attending the conference with counsel in {client} against {opponent}, duration {2-4} hours.
    """),
    middle=lines("""
        The client explained that {document} had been signed on {date} in the presence of {person}.
        Advised that {remedy} is discretionary and that the {court} will look at the conduct of both parties.
        The witness {person} is prepared to give a statement concerning {evidence}.
        The judge ordered standard disclosure by {date} and exchange of witness statements {14-56} days thereafter.
        Discussed the Part {11-36} offer of {money 4000-480000} made by the {side}, which the client is minded to
            [reject|accept|counter].
        Costs to date amount to {money 1500-88000}, of which {money 900-9000} are disbursements.
        The application for {remedy} was [dismissed|granted|adjourned], costs reserved.
        Conflict check completed and engagement letter countersigned.
    """),
    closing=lines("""
        Action: {staff} to draft particulars of claim and to request {evidence}.
        Client to provide {evidence} by {date}.
        Time recorded on the matter, bill to be rendered at the end of the month.
        To be listed for a case management conference on the first open date after {date}.
    """),
)

LAW_FIRM = Trade(
    name="law-firm",
    documents=(1000, 1500),
    length=(84, 112),
    forms=(ADVICE, ADVICE, ATTENDANCE),
    words=table("""
        client: {person} | {brand} Holdings | {brand} Properties | {person} | {brand} Engineering
            | the trustees of {place}
        opponent: {brand} Limited | {person} | {town} Developments | the executors of {person} | {brand} Logistics
        firm: {staff.last} and {staff.last} | {staff.last} Legal | {staff.last}, {staff.last} and Partners
        matter: the dilapidations claim | the boundary dispute | the shareholders' dispute | the contested will
            | the unfair dismissal claim | the breach of contract | the professional negligence claim
            | the assignment of the lease | the construction defects
        document: the lease | the share purchase agreement | the deed of trust | the last will | the building contract
            | the contract of employment | the settlement agreement | the guarantee | the transfer deed
        clause: clause {2-29}.{1-9} | schedule {1-6} | paragraph {3-44} | section {2-140} | the proviso to clause {2-19}
        side: claimant | defendant | respondent | appellant | landlord | third party
        evidence: the original deed | the expert report | contemporaneous correspondence | the board minutes
            | medical records | the surveyor's schedule | bank statements | the unredacted emails
        remedy: specific performance | damages | an injunction | rescission | summary judgment | a freezing order
            | security for costs | a declaration
        court: county court | High Court | employment tribunal | Court of Appeal | property chamber
    """),
    cast={
        "client": "client",
        "opponent": "opponent",
        "matter": "matter",
        "document": "document",
        "file": "reference",
        "firm": "firm",
        "side": "side",
        "clause": "clause",
    },
    own={"matter": 5, "document": 6, "remedy": 6, "court": 3, "firm": 1, "evidence": 6},
)
