"""A pharmacy: notes of counselling at the counter, and queries to prescribers."""

from __future__ import annotations

from fedlora_tui.organizations.grammar import Form, Trade, lines, table

COUNSELLING = Form(
    opening=lines("""
        {medicine} {strength} mg {form} dispensed to {patient} on {date}, quantity {14-112}.
        {patient} collected {medicine} {strength} mg and asked about {concern}.
        New medicine talk with {patient}: {medicine} {strength} mg, one {form_one} {frequency}.
        Repeat prescription of {medicine} for {patient}, {strength} mg, supplied by {staff}.
    """),
    middle=lines("""
        Take one {form_one} {frequency} [with food|before food|with a full glass of water|on an empty stomach].
        The patient should take the {form} at the same time each day and must not stop suddenly.
        Counselled on drowsiness; do not combine with alcohol or {other} without advice.
        Possible side effects are {effect} and {effect}, which usually pass within {2-14} days.
        If {effect} lasts for more than {2-7} days, the patient should speak to the prescriber.
        Missed dose: take it as soon as it is remembered, but never a double dose.
        The patient also takes {other}; interaction checked and judged to be [minor|moderate|acceptable with
            monitoring].
        Store the {form} [below 25 degrees|in the refrigerator|in the original pack], away from children.
        {stock} was out of stock, so the generic of {maker} was supplied instead.
        Allergy to {allergy} is on record and was confirmed at the counter.
    """),
    closing=lines("""
        Patient understood and will return in {2-12} weeks.
        Leaflet given, label checked by {staff}, bag {11-99} on shelf {letter}.
        {3-9} repeats remain on this prescription.
        Blood pressure measured, {105-168} over {62-98}, noted on the record.
        Owing {7-56} {form}, to be collected after {date}.
    """),
)

PRESCRIBER_QUERY = Form(
    opening=lines("""
        Query to Dr {person.last} about the prescription of {medicine} {strength} mg for {patient}.
        Telephoned the surgery at {place} on {date}: the dose of {medicine} for {patient} is [unusual|above the
            maximum|not licensed for this age].
        Prescription for {patient} returned unsigned, item {medicine} {strength} mg {form}.
    """),
    middle=lines("""
        The dose reads one {form_one} {frequency}, while the record shows {strength} mg {frequency_other} since {month}.
        The patient is already on {other}, and the combination raises the risk of {effect}.
        The latest renal function is {18-88}, so a lower dose should be considered.
        Suggested a change to {other} or a reduction to half a {form_one}.
        The prescriber confirmed the dose and asked for the {test} to be checked in {2-8} weeks.
        A supply for {3-7} days was given so that the patient does not go without.
        {stock} is not available from the wholesaler until {date}.
        The controlled drugs register was signed, balance {14-280} {form}.
    """),
    closing=lines("""
        New prescription sent electronically, old one marked void by {staff}.
        Intervention recorded under {reference}, responsible pharmacist {staff}.
        Patient informed by telephone on {phone}.
        Delivery to {address} arranged for {weekday}.
    """),
)

PHARMACY = Trade(
    name="pharmacy",
    documents=(1600, 2200),
    length=(34, 48),
    forms=(COUNSELLING, COUNSELLING, PRESCRIBER_QUERY),
    words=table("""
        medicine: amlodipine | metformin | ramipril | sertraline | omeprazole | atorvastatin | levothyroxine
            | bisoprolol
            | gabapentin | amitriptyline | doxycycline | prednisolone | losartan | citalopram | furosemide | apixaban
        other: warfarin | ibuprofen | lithium | simvastatin | aspirin | St John's wort | methotrexate | digoxin
            | antacids | clopidogrel | zopiclone
        strength: 5 | 10 | 20 | 25 | 50 | 75 | 100 | 250 | 500
        form: tablets | capsules | tablets | caplets
        form_one: tablet | capsule | tablet
        frequency: once daily | twice daily | three times a day | at night | in the morning | every eight hours
            | once a week
        frequency_other: once daily | twice daily | at night | every other day
        concern: drowsiness | driving | alcohol | pregnancy | a missed dose | the new packaging | grapefruit juice
            | taking it with tea | a cough since starting
        effect: nausea | a dry mouth | dizziness | headache | swollen ankles | a rash | constipation | a dry cough
            | muscle pain | poor sleep | stomach upset | bruising
        stock: The brand {brand} | The liquid | The {brand} pack | The slow release form
        maker: {brand} | {brand} Pharma | {brand} Labs
        allergy: penicillin | aspirin | latex | lactose | sulfonamides | codeine | egg protein
        test: potassium | liver function | thyroid function | blood pressure | clotting time | blood count
    """),
    cast={
        "patient": "person",
        "medicine": "medicine",
        "strength": "strength",
        "form": "form",
        "form_one": "form_one",
        "frequency": "frequency",
        "other": "other",
    },
    own={"medicine": 11, "other": 7, "effect": 9, "stock": 3, "maker": 2, "form": 2, "concern": 6},
)
