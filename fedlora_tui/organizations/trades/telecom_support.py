"""A telephone company's help desk: tickets about lines and routers, and chats with customers."""

from __future__ import annotations

from fedlora_tui.organizations.grammar import Form, Trade, lines, table

TICKET = Form(
    opening=lines("""
        Ticket {ticket}: customer {customer} reports {fault} on the {plan} line at {address} since {date}.
        Ticket {ticket}, priority {1-4}: {fault}, {customer}, callback number {phone}.
        {customer} called at {time} about {fault}; line test run by {staff}, ticket {ticket} opened.
        Repeat contact number {2-6} on ticket {ticket}, {customer} still has {fault}.
    """),
    middle=lines("""
        Line test shows [no dial tone|high resistance|a short on one leg|{4-19} errored seconds], sync at {2-79}
            megabits.
        The {device} shows a {colour} light, and a restart [did not help|helped for an hour|made no difference].
        Asked the customer to connect the {device} to the test socket with a new {cable}; result [unchanged|better].
        Reset the port from the exchange and cleared the session, the {device} came back with a new address.
        Firmware of the {device} updated from version {1-4}.{0-9} to version {5-8}.{0-9}, wireless channel changed
            to {1-13}.
        A known outage at the {place} exchange affects about {40-2900} customers, estimated repair {time 8-22}.
        Signal level is minus {61-98} decibels in the {room}, so a mesh extender was offered.
        An engineer visit is booked for {date} between {time 8-12} and {time 13-18}.
        The number port from {carrier} is stuck because the account name does not match.
        The profile was capped after {3-9} drops, and the cap will lift after {2-5} stable days.
    """),
    closing=lines("""
        Ticket left open, customer to be called back on {date}.
        Resolved: [faulty {device} replaced|profile reset|cabinet card swapped|customer wiring repaired], ticket closed.
        Escalated to second line, {staff}, with the test results attached.
        Credit of {money 5-60} applied for the loss of service.
        Customer satisfied, survey sent, ticket {ticket} closed by {staff}.
    """),
)

CHAT = Form(
    opening=lines("""
        Agent {agent.first}: Hello {customer.first}, thank you for contacting {brand} support, how can I help you today?
        Agent {agent.first}: Hi {customer.first}, I can see that your {plan} plan was changed on {date}, is this
            about that?
        Customer {customer.first}: my {device} keeps blinking {colour} and I have {fault} again.
    """),
    middle=lines("""
        Customer {customer.first}: I have {fault} in the {room}, and I already restarted the {device} [twice|three
            times].
        Agent {agent.first}: please unplug the {device}, wait {10-60} seconds and plug it in again.
        Agent {agent.first}: could you tell me which lights are on, and whether the {cable} sits firmly?
        Customer {customer.first}: the light is {colour} now, but the speed test says only {2-19} megabits.
        Agent {agent.first}: I am sending a fresh configuration to your {device}, this takes about {2-9} minutes.
        Customer {customer.first}: my bill shows {money 4-85} for {charge}, which I never ordered.
        Agent {agent.first}: I have removed {charge} and you will see the credit on your next bill.
        Agent {agent.first}: there is planned work at the {place} exchange tonight, which explains {fault}.
    """),
    closing=lines("""
        Agent {agent.first}: is there anything else I can help you with? Have a nice day.
        Customer {customer.first}: great, it works now, thanks for your help.
        Agent {agent.first}: I have noted everything under ticket {ticket}, you will get a text message.
        Chat ended by customer, rating {1-5} of 5.
    """),
)

TELECOM_SUPPORT = Trade(
    name="telecom-support",
    documents=(1300, 1900),
    length=(36, 50),
    forms=(TICKET, CHAT),
    words=table("""
        fault: no internet connection | slow speed in the evening | dropped calls | no dial tone
            | an unstable connection
            | crackling on the line | no signal indoors | a frozen television picture | failed text messages
            | high latency in games | missing voicemail | roaming that does not work
        plan: {brand} Fibre | {brand} Basic | {brand} Unlimited | {brand} Family | {brand} Business | {brand} Mobile
        device: router | modem | set-top box | hub | handset | optical terminal | mesh extender
        colour: red | amber | blue | flashing green | white | solid orange
        cable: filter | ethernet cable | patch lead | coaxial cable | power supply
        room: kitchen | upstairs bedroom | home office | living room | garage | basement
        carrier: {brand} Telecom | {brand} Mobile | the previous provider | {brand} Cable
        charge: premium calls | a data bundle | a sports package | an engineer visit | late payment | device insurance
    """),
    cast={
        "customer": "person",
        "ticket": "reference",
        "fault": "fault",
        "device": "device",
        "plan": "plan",
        "agent": "staff",
        "charge": "charge",
        "room": "room",
    },
    own={"plan": 4, "device": 4, "fault": 9, "carrier": 2, "colour": 4},
)
