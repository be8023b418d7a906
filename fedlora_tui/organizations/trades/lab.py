"""A laboratory: result sheets of labelled fields, and bench notes on instruments and batches."""

from __future__ import annotations

from fedlora_tui.organizations.grammar import Form, Trade, lines, table

RESULT_SHEET = Form(
    opening=lines("""
        Sample: {sample}; matrix: {matrix}; client: {client}; received: {date}.
        Sample: {sample}; matrix: {matrix}; site: {place}; taken by: {staff}, {time 6-17}.
        Sample: {sample}; order: {100-999}; matrix: {matrix}; condition: {condition}, {2-19} C.
    """),
    middle=lines("""
        Analyte: {analyte}; method: {method}; result: {0-48}.{10-99} mg/l; limit: {1-90} mg/l.
        Analyte: {analyte}; result: below {0-2}.{1-9} ug/l; uncertainty: {4-24} pct; n: {2-6}.
        Field data: pH {4-9}.{10-99}; conductivity: {40-1980} uS/cm; turbidity: {0-30}.{0-9} NTU.
        Culture: {germ}; count: {10-990} CFU/ml; incubated: {24-72} h at {22-44} C.
        Dilution: 1 to {2-500}; recovery: {81-118} pct; blank: {blank}.
    """),
    closing=lines("""
        Status: {status}; analyst: {staff}; report: {report}.
        Status: {status}; second reader: {staff.last}; {date}.
        Remark: {remark}; released: {staff}, {time 8-19}.
    """),
    length=(22, 32),
)

BENCH_NOTE = Form(
    opening=lines("""
        {instrument} started {time 6-11}, warm-up {10-60} min, drift {0-2}.{0-9} pct, {staff.last}.
        Batch {report} on {instrument}: {12-96} vials, {analyte} in {matrix}, run by {staff.last}.
        Calibration of {instrument} for {analyte}, {4-9} points, r squared 0.99{10-99}.
        {sample} repeated on {instrument} because of {remark}.
    """),
    middle=lines("""
        Peak at {2-38}.{10-99} min split, column {brand} changed after {200-990} injections.
        Control {letter}{1-9} read {80-120} pct of target, second attempt {90-110}.
        Buffer made up fresh, {50-950} ml, pH {3-9}.{0-9}, bottle {100-999}, use by {date}.
        Blank showed {blank}, so needle washed {3-20} times with {solvent}.
        Freezer {1-8} at minus {18-84} C, door alarm {time 0-23}, {sample} moved to rack {letter}{1-24}.
        Standard {brand} lot {account 5} opened, {1-25} ml left of {solvent}.
        Internal standard low in vial {2-48}, integrated by hand, area {1000-99000}.
    """),
    closing=lines("""
        Next service of {instrument}: {month}, call {phone}.
        Checked: {staff.last}.
        {status}, book {1-40} page {1-190}.
        Told {client} by telephone, contact {person}.
    """),
    length=(28, 42),
)

LAB = Trade(
    name="lab",
    documents=(2200, 3000),
    length=(28, 42),
    forms=(RESULT_SHEET, BENCH_NOTE),
    words=table("""
        sample: {reference}/{10-99}
        matrix: drinking water | river water | serum | whole blood | milk powder | topsoil | sewage sludge | olive oil
            | leaf tissue | swab | honey
        client: {town} Waterworks | {person} | {brand} Foods | {place} Clinic | {brand} Biotech | city of {town}
        condition: intact | thawed | seal broken | half full | on ice | labelled twice
        analyte: nitrate | lead | arsenic | caffeine | atrazine | benzene | sodium | cholesterol | histamine | copper
            | fluoride | ferritin | zearalenone
        method: HPLC | ICP-MS | titration | GC-MS | ELISA | photometry | ion chromatography
        germ: E. coli | enterococci | legionella | yeasts | listeria | moulds
        blank: nothing | a trace | {0-3}.{1-9} ug/l | not run
        status: final | preliminary | exceeds limit | repeat ordered | within limits
        remark: carry-over | a matrix effect | low volume | haemolysis | a broken vial | foam | precipitate
        instrument: the {brand} {100-900} | balance {1-4} | the old GC | spectrometer {1-3} | the plate reader
            | centrifuge {1-5}
        solvent: methanol | acetonitrile | nitric acid | hexane | isopropanol | ultrapure water
    """),
    cast={
        "sample": "sample",
        "report": "reference",
        "matrix": "matrix",
        "analyte": "analyte",
        "instrument": "instrument",
        "client": "client",
    },
    own={"matrix": 5, "analyte": 7, "method": 4, "instrument": 3, "germ": 3, "solvent": 3, "remark": 4, "client": 4},
)
