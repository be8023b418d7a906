"""A bank's disputes desk: letters to card holders about charges they do not recognise, and case notes."""

from __future__ import annotations

from fedlora_tui.organizations.grammar import Form, Trade, lines, table

LETTER = Form(
    opening=lines("""
        Dear {customer}, thank you for telling us about the [payment|charge|transaction] of {sum} to {merchant} on
            {day}.
        Dear {customer}, we have looked into your dispute {case} concerning {sum} taken by {merchant}.
        Dear {customer}, we write about the {product} ending in {account 4} and the charge from {merchant} of {day}.
        Dear {customer}, your claim {case} against {merchant} has been [received|reopened|passed to a specialist].
    """),
    middle=lines("""
        We have placed a temporary credit of {sum} on your account while we investigate.
        The merchant has {20-45} days to answer the chargeback, and we cannot [hurry|shorten] this period.
        Our records show that the payment was approved with {proof}, which usually means that the card was present.
        The merchant has sent us {evidence}, and we ask you to look at it and let us have your comments.
        Please send us {evidence} within {7-21} days, so that we can take your claim further.
        We have cancelled the {product} ending in {account 4} and a new one will reach you within {3-10} working days.
        Under the scheme rules a claim for {reason} must reach us within {60-120} days of the transaction.
        As {reason} is not covered by the scheme, we are not able to recover the money in this way.
        You will not be charged interest on the disputed amount until the case is closed.
    """),
    closing=lines("""
        If you do not agree with our decision, you may write to the ombudsman within six months.
        Please quote reference {case} whenever you call us on {phone}.
        Yours sincerely, {staff}, Disputes and Chargebacks.
        We are sorry for the trouble this has caused you. Yours sincerely, {staff}, Card Services, {town}.
    """),
)

CASE_NOTE = Form(
    opening=lines("""
        Case {case}: cardholder {customer} disputes {sum} at {merchant}, reason {reason}.
        {case} opened {day} by {staff}: {customer} [denies|does not recognise|questions] {count} payments to {merchant}.
        Call from {customer} on {day} about {case}, identity confirmed with {check}.
        Fraud queue, {case}: pattern of {pattern} on the {product} ending in {account 4}.
    """),
    middle=lines("""
        Cardholder states that the card [was in their possession|was lost on {date}|had never been used online].
        Merchant category is {category}, terminal located in {town}, authorised with {proof}.
        Chargeback raised under reason code {10-98}.{1-9}, amount {sum}, provisional credit posted the same day.
        Merchant represented with {evidence}, file forwarded to {staff} for review.
        No earlier disputes on this account in the last {6-36} months, risk score {11-97}.
        Advised the cardholder that {reason} needs {evidence} before we can file.
        Previous payments to {merchant} were [not disputed|refunded in full|made from the same device].
        Pre-arbitration deadline is {date}, liability shift applies because of {proof}.
    """),
    closing=lines("""
        Decision: [credit made permanent|credit reversed|partial refund of {money 10-90}|written off as a goodwill
            gesture].
        Next step: wait for the merchant's answer, diary set for {date}.
        Case closed by {staff}, letter {13-58} sent.
        Passed to the fraud team, {product} blocked, new card ordered to {address}.
    """),
)

BANK_DISPUTES = Trade(
    name="bank-disputes",
    documents=(1600, 2200),
    length=(36, 50),
    forms=(LETTER, CASE_NOTE),
    words=table("""
        merchant: {brand} Travel | {brand} Online | {brand} Fitness | {brand} Electronics | {brand} Hotels
            | {brand} Streaming | {town} Car Hire | {brand} Tickets | {town} Fuels | {brand} Fashion
        product: debit card | credit card | gold card | business card | prepaid card | joint account card
        proof: chip and PIN | a one-time passcode | contactless | the card security code | a signed receipt
            | a wallet on the customer's phone
        evidence: a signed delivery note | the rental agreement | a copy of the invoice | the cancellation email
            | screenshots of the order | the terms of the subscription | a police report number
        reason: goods not received | a cancelled subscription | a duplicate charge | a wrong amount
            | services not provided | card not present fraud | a refund not processed | counterfeit goods
        check: two security questions | the telephone password | voice recognition | a callback to the number on file
        pattern: small test payments | rapid cash withdrawals | foreign fuel purchases | gift card purchases
            | declined attempts followed by one approval
        category: travel agencies | digital goods | fuel stations | clothing stores | gambling | hotels
            | telephone sales
        count: two | three | four | five | several
    """),
    cast={
        "customer": "person",
        "sum": "money 12-2400",
        "merchant": "merchant",
        "case": "reference",
        "day": "date",
        "product": "product",
        "reason": "reason",
    },
    own={"merchant": 7, "product": 3, "evidence": 5, "pattern": 3, "category": 5},
)
