"""A clinic: notes of consultations, and letters of referral."""

from __future__ import annotations

from fedlora_tui.organizations.grammar import Form, Trade, lines, table

CONSULTATION = Form(
    opening=lines("""
        {patient}, aged {19-88}, presents with {symptom} for {2-20} {spell}.
        Seen in the {room} clinic on {date}: {patient}, {19-88} years old, complains of {symptom}.
        Follow-up visit of {patient} with known {condition}, last seen in {month}.
        {patient} attends for [an annual review|a check-up|test results|a second opinion] of {condition}.
    """),
    middle=lines("""
        History: {symptom} worse [at night|after meals|on exertion|in the morning], no {negative} and no {negative}.
        On examination {sign}, weight {48-118} kilograms, blood pressure {104-172} over {60-102}.
        Past history includes {condition}; the patient [smokes {4-30} a day|stopped smoking|has never smoked] and drinks
            {2-20} units a week.
        A {test} was requested and the patient will be phoned with the result.
        The {test} shows [a mild abnormality|no abnormality|improvement since {month}|values just above the normal
            range].
        Impression: likely {condition}, differential includes {condition}.
        We discussed {advice}, and the patient is keen to try this before any medicine.
        Started on {drug} {5-80} mg daily, to be increased after {2-6} weeks if tolerated.
        The patient worries about {negative} because of a parent's illness and was reassured.
        {vaccine} vaccination was offered and [accepted|declined|postponed].
    """),
    closing=lines("""
        Review in {2-12} weeks or sooner if {symptom} returns.
        Safety net advice given, patient happy with the plan. Dr {staff}.
        Referral to {specialist} sent today, reference {reference}.
        Sick note issued until {date}. Dr {staff.last}.
        Recall set for {month}, nurse appointment for the {test}.
    """),
)

REFERRAL = Form(
    opening=lines("""
        Dear colleague, thank you for seeing {patient}, aged {19-88}, who has had {symptom} for {2-18} {spell}.
        Dear Dr {staff.last}, I would be grateful for your opinion on {patient} with suspected {condition}.
        Referral to {specialist}: {patient}, {address}, telephone {phone}.
    """),
    middle=lines("""
        There has been no response to {drug} and {advice}.
        The {test} of {date} was [normal|borderline|abnormal], a copy is enclosed.
        On examination {sign}, and there was no {negative}.
        The family history is [unremarkable|notable for {condition}|unknown].
        The present medication is {drug}, {5-80} mg daily.
        I wonder whether {condition} should be excluded, and whether a repeat {test} would be of help.
        The symptoms interfere with [work|sleep|climbing stairs|driving|looking after grandchildren].
    """),
    closing=lines("""
        With kind regards, Dr {staff}, {town} Clinic.
        The patient can attend at short notice on any {weekday}.
        I have asked the patient to keep a diary of {symptom} until your appointment.
        Many thanks for your help. Dr {staff}.
    """),
)

CLINIC = Trade(
    name="clinic",
    documents=(1600, 2200),
    length=(36, 50),
    forms=(CONSULTATION, CONSULTATION, REFERRAL),
    words=table("""
        symptom: low back pain | a persistent cough | tiredness | heartburn | palpitations | headaches | knee pain
            | an itchy rash | low mood | dizziness on standing | a sore throat | tingling in the hands | wheezing
        spell: days | weeks | weeks | months
        room: morning | walk-in | diabetes | women's health | respiratory | {place} | skin
        condition: asthma | hypertension | type 2 diabetes | migraine | osteoarthritis | eczema | hypothyroidism
            | iron deficiency | irritable bowel syndrome | gout | sleep apnoea | reflux disease | anxiety
        negative: weight loss | night sweats | chest pain | fever | blood in the stool | visual disturbance | fainting
        sign: the chest is clear | the abdomen is soft | there is mild tenderness over the joint
            | the ears and throat are normal | heart sounds are normal | the reflexes are brisk
            | there is a scaly patch on the elbow | the range of movement is reduced
        test: lung function test | full blood count | thyroid panel | electrocardiogram | fasting glucose | urine test
            | allergy panel | vitamin D level | ultrasound scan
        advice: regular exercise | a low salt diet | sleep hygiene | physiotherapy | cutting down on coffee
            | a food diary | talking therapy | weight reduction
        drug: propranolol | fluoxetine | lansoprazole | allopurinol | montelukast | lisinopril | naproxen | cetirizine
            | gliclazide
        vaccine: Influenza | Shingles | Tetanus | Pneumococcal | Hepatitis B
        specialist: cardiology | dermatology | rheumatology | neurology | gastroenterology | respiratory medicine
            | ear, nose and throat
    """),
    cast={"patient": "person", "symptom": "symptom", "drug": "drug", "specialist": "specialist", "spell": "spell"},
    own={"room": 3, "symptom": 9, "condition": 9, "drug": 6, "test": 6, "specialist": 5, "advice": 5},
)
