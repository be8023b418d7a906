"""A hospital ward: nursing notes in short sentences, and discharge plans."""

from __future__ import annotations

from fedlora_tui.organizations.grammar import Form, Trade, lines, table

NURSING_NOTE = Form(
    opening=lines("""
        {patient}, bed {bed}, {ward}: [settled|restless|comfortable|drowsy but rousable] at the start of the {shift}.
        Bed {bed}, {patient}, day {1-9} after {procedure}, [slept well|slept poorly|slept in short spells] overnight.
        {patient} was received from {unit} at {time 6-23} and settled in bed {bed} on {ward}.
        Handover for {patient}, bed {bed}: admitted with {complaint}, now under the care of Dr {staff.last}.
        {shift} note for {patient} in bed {bed}, admitted {date} with {complaint}.
    """),
    middle=lines("""
        Observations are stable, temperature {36-38}.{0-9}, pulse {58-112}, blood pressure {98-165} over {55-95}.
        Saturations dropped to {86-91} per cent on room air and rose to {94-98} on {2-5} litres of oxygen.
        Pain scored {2-8} out of 10 [at rest|on movement|on coughing], and {painkiller} was given with good effect.
        The {line} was [flushed and remains patent|resited in the left arm|removed because the site was red].
        The wound [is clean and dry|is oozing slightly|looks red at the lower edge], and the dressing was
            [renewed|left in place|changed twice].
        Urine output was {25-90} ml an hour through the catheter, and the fluid balance is [positive|negative|even].
        {patient.first} [managed a light diet|refused breakfast|ate half of the evening meal|is nil by mouth].
        The early warning score rose to {3-7}, so Dr {staff.last} was bleeped and reviewed within {5-40} minutes.
        Bloods were taken at {time 5-21}, and the {blood_test} came back [raised|normal|slightly low].
        [Turned every two hours|Walked to the bathroom with one nurse|Sat out in the chair for an hour], skin intact,
            no pressure damage seen.
        Intravenous {antibiotic} was given at {time 0-23} as charted, with no reaction.
        The family visited at {time 13-19} and {relative} was told about the plan.
    """),
    closing=lines("""
        Plan: continue observations every {2-6} hours and repeat the {blood_test} in the morning.
        Please chase the {scan} result and inform the ward doctor.
        To be seen by the {therapist} on the morning round.
        For review by Dr {staff.last} before the next dose of {antibiotic}.
        Call bell within reach, falls mat in place, will continue to monitor.
        Signed {staff}, staff nurse, {ward}.
    """),
)

DISCHARGE_PLAN = Form(
    opening=lines("""
        Discharge plan for {patient}, bed {bed}, {ward}, written {date} by {staff}.
        {patient} is medically fit for discharge on {date} after {procedure}.
        Board round, {ward}: {patient} can go home once the {therapist} is happy with the stairs.
    """),
    middle=lines("""
        Lives [alone|with {relative}|in sheltered housing] at {address} and was independent before this admission.
        The {therapist} asks for [a commode|a walking frame|grab rails|a raised toilet seat] before discharge.
        Medicines to take home are {painkiller} for {3-10} days and oral {antibiotic} until {date}.
        The {line} must come out before the patient leaves the ward.
        A district nurse will check the wound on {weekday} and remove the clips on day {7-14}.
        Transport is booked for {time 9-18}, {relative} will be at home to receive the patient.
        The last {blood_test} was {8-140} and no longer needs to be followed.
    """),
    closing=lines("""
        Return to the ward if there is fever, bleeding or worsening pain.
        Follow-up with Dr {staff.last} in {2-8} weeks in the outpatient department.
        Discharge letter sent to the family doctor, copy in the notes.
        {relative} can be reached on {phone}.
    """),
)

HOSPITAL_WARD = Trade(
    name="hospital-ward",
    documents=(1600, 2400),
    length=(34, 50),
    forms=(NURSING_NOTE, NURSING_NOTE, DISCHARGE_PLAN),
    words=table("""
        ward: {place} Ward | {place} Ward | Ward {2-9}
        shift: night shift | early shift | late shift | long day
        unit: intensive care | the emergency department | recovery | theatre | the high dependency unit
        procedure: hip replacement | bowel resection | appendicectomy | knee replacement | hernia repair
            | gall bladder removal | femoral bypass | open reduction of the ankle | thyroidectomy
        complaint: chest pain | shortness of breath | a fractured hip | sepsis of unknown source | abdominal pain
            | cellulitis of the left leg | a fall at home | acute kidney injury | pneumonia | confusion
            | gastrointestinal bleeding | a stroke
        painkiller: paracetamol | oral morphine | codeine | ibuprofen | tramadol | oxycodone
        line: cannula | central line | urinary catheter | surgical drain | nasogastric tube | arterial line
        blood_test: potassium | haemoglobin | white cell count | lactate | creatinine | troponin | glucose
            | C-reactive protein
        antibiotic: co-amoxiclav | gentamicin | flucloxacillin | meropenem | ceftriaxone | vancomycin | clarithromycin
        relative: the daughter | the son | the wife | the husband | a neighbour | the sister | the next of kin
        scan: chest X-ray | ultrasound | echocardiogram | CT head | MRI of the spine | CT abdomen
        therapist: physiotherapist | occupational therapist | dietitian | pain team | speech therapist
            | tissue viability nurse
    """),
    cast={"patient": "person", "bed": "1-28", "ward": "ward", "antibiotic": "antibiotic", "relative": "relative"},
    own={"ward": 2, "complaint": 8, "procedure": 6, "antibiotic": 5, "scan": 4},
)
