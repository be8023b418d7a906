"""An insurer: claims files and adjusters' reports, and letters to policyholders."""

from __future__ import annotations

from fedlora_tui.organizations.grammar import Form, Trade, lines, table

CLAIM_FILE = Form(
    opening=lines("""
        Claim {claim} under policy {account 7}: {holder} reports {loss} at {address} on {day}.
        Loss adjuster {staff} visited the insured, {holder}, at {address} on {date} regarding {loss}.
        First notification of loss on {day}: policyholder {holder}, {policy}, {loss}.
        {policy} claim {claim}, insured {holder}, date of loss {day}, reserve {money 600-88000}.
    """),
    middle=lines("""
        Damage is limited to {damaged} and {damaged}, and the estimate of the contractor is {money 300-24000}.
        Cover was in force at the date of loss, the excess of {money 100-900} applies.
        Cause of the loss is thought to be {cause}, which [is|is not] an insured peril under section {2-9}.
        The insured was unable to produce {proof}, so {staff} asked for photographs and bank statements.
        The sum insured of {money 20000-640000} appears [adequate|too low, and average will apply|generous].
        Third party {person} holds our insured responsible, liability [is accepted|is disputed|is under review].
        The vehicle is [a total loss|repairable|roadworthy], market value {money 1800-32000}, salvage category {letter}.
        An exclusion for {exclusion} is to be considered before any payment is made.
        Previous claims: {0-4} in the last {3-10} years, none of them of this kind.
        Recovery against {recovery} looks [promising|doubtful], and subrogation papers have been prepared.
    """),
    closing=lines("""
        Reserve [unchanged|raised to {money 1200-96000}|reduced], next review {date}.
        Recommended settlement {money 400-48000} less excess, subject to {proof}.
        File passed to {staff}, {team}.
        Interim payment of {money 200-4000} authorised pending {proof}.
    """),
)

LETTER = Form(
    opening=lines("""
        Dear {holder}, we are sorry to hear about {loss} on {day} and have registered your claim as {claim}.
        Dear {holder}, we refer to your {policy} policy {account 7} and to your claim for {loss}.
        Dear {holder}, thank you for {proof}, which we received on {date}.
    """),
    middle=lines("""
        We have appointed {staff} as loss adjuster, who will call you within {2-7} working days.
        Please keep {damaged} for inspection, and do not begin any repairs without our agreement.
        Your policy has an excess of {money 100-900}, which will be deducted from the settlement.
        In accordance with section {2-9} of your policy, loss caused by {exclusion} is not covered.
        We have agreed to pay {money 400-48000} in full and final settlement, by transfer within {5-14} days.
        Our approved repairer, {repairer}, will collect the vehicle on {date}.
        Your no claims discount will [not be affected|be reduced by two years].
        To go on with the claim we need {proof} and an estimate for {damaged}.
    """),
    closing=lines("""
        Yours sincerely, {staff}, {team}.
        Please quote claim {claim} in any letter, or call {phone}.
        If you are not satisfied, our complaints procedure is set out on page {12-48} of your policy booklet.
        Please sign and return the form of acceptance enclosed.
    """),
)

INSURER = Trade(
    name="insurer",
    documents=(1500, 2100),
    length=(34, 48),
    forms=(CLAIM_FILE, LETTER),
    words=table("""
        policy: home contents | motor | buildings | travel | landlord | small business | {brand} Home | {brand} Drive
        loss: an escape of water | a burglary | storm damage to the roof | a kitchen fire | a rear-end collision
            | the theft of a bicycle | a fallen tree | a cancelled journey | a broken window | subsidence
            | hail damage to a car | a lost suitcase | a burst boiler
        damaged: the ceiling | the carpet | the kitchen units | the rear bumper | the conservatory | the fence
            | the laptop | the parquet floor | the jewellery | the garage door | the windscreen | the wallpaper
        cause: a failed joint | frozen pipes | wear and tear | a faulty appliance | high wind | forced entry
            | a driver's error | tree roots | an unattended pan
        proof: the purchase receipts | the police reference | the repair invoice | the boarding pass
            | the service history
            | two estimates | the medical certificate
        exclusion: gradual deterioration | unoccupied premises | poor workmanship | unattended baggage | wear and tear
            | an unlocked door | vermin
        recovery: the plumber | the other driver's insurer | the manufacturer | the airline | the upstairs neighbour
        repairer: {brand} Motors | {town} Bodyworks | {place} Garage
        team: Property Claims | Motor Claims | Large Loss | Travel Claims, {town} | Customer Relations
    """),
    cast={
        "holder": "person",
        "claim": "reference",
        "loss": "loss",
        "day": "date",
        "policy": "policy",
        "proof": "proof",
    },
    own={"policy": 4, "loss": 8, "damaged": 8, "repairer": 1, "team": 3, "cause": 6, "recovery": 4},
)
