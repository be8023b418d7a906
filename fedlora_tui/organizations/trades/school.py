"""A school: pupils' reports and letters to parents."""

from __future__ import annotations

from fedlora_tui.organizations.grammar import Form, Trade, lines, table

REPORT = Form(
    opening=lines("""
        {pupil} has had [a good|an encouraging|a mixed|an excellent|a difficult] {term} in {subject}.
        {subject}, year {year}: {pupil} [works hard|joins in eagerly|is quiet but attentive|is easily distracted].
        Report for {pupil}, class {year}{letter}, {term}, {subject}, teacher {staff}.
        It is a pleasure to teach {pupil}, who has made [steady|rapid|some|remarkable] progress in {subject}.
    """),
    middle=lines("""
        {pupil.first} can {skill} [with confidence|with some help|independently] and is beginning to {skill}.
        Homework in {subject} is [always handed in on time|sometimes late|often incomplete|done with great care].
        In the {exam} {pupil.first} scored {38-97} per cent, which is [above|below|in line with] expectations.
        {pupil.first} would benefit from [reading every evening|practising times tables|asking for help
            sooner|checking work].
        The project on {topic} was [thoughtful|beautifully presented|rushed|the best in the class].
        {pupil.first} listens well in class discussion and [is kind to others|supports classmates|could speak up more].
        Attendance this term was {84-100} per cent, with {0-6} late marks.
        Behaviour has been [exemplary|good on the whole|inconsistent], and {pupil.first} has earned {2-40} merits.
        Spelling and handwriting [have improved a lot|still need attention|are neat and accurate] in most work.
        The target for next term is to {skill} and to {skill}.
    """),
    closing=lines("""
        Well done, {pupil.first}, keep up the good work in {subject}!
        We look forward to seeing what {pupil.first} can do in {nextyear}.
        Please encourage {pupil.first} to {skill} at home.
        {staff}, form tutor of class {year}{letter}, {town} School.
        With more effort in {subject} there is no reason why {pupil.first} should not do well.
    """),
)

LETTER_HOME = Form(
    opening=lines("""
        Dear parents and carers, year {year} will visit {destination} on {date} as part of the work on {topic}.
        Dear parents, we would like to invite you to {event} in the school hall on {date} at {time 9-19}.
        Dear parents, year {year} will write about {topic} this term, {event} on {date} is part of it.
        Dear families, {event} takes place on {date} and every class will take part.
    """),
    middle=lines("""
        The coach leaves the school gate at {time 7-9} and returns by {time 15-18}.
        Children need a packed lunch, a water bottle and [a coat|sun cream|sensible shoes|their reading book].
        The voluntary contribution is {money 3-38}, payable online by {date}.
        Please return the slip to {staff} in the school office by {date}.
        Any pupil who does not behave will be spoken to by {staff} and will miss a break time.
        We are looking for {2-9} volunteers to help with [the bake sale|reading groups|the costumes|setting up chairs].
        {club} club will not run that week, and breakfast club opens as usual.
        School uniform [is not required|must be worn], and the {house} house wears its own colours.
    """),
    closing=lines("""
        Thank you for your continued support. {staff}, head of year {year}.
        If you have any questions, please speak to {staff} at the gate.
        Kind regards, {staff}, {town} School.
        Please telephone the office on {phone} to make an appointment.
    """),
)

SCHOOL = Trade(
    name="school",
    documents=(1100, 1700),
    length=(40, 56),
    forms=(REPORT, LETTER_HOME),
    words=table("""
        term: autumn term | spring term | summer term | first half of term | start to the year
        subject: mathematics | English | science | history | geography | art | music | French | physical education
            | computing | religious education | design and technology
        skill: add fractions | write in paragraphs | use full stops and capital letters | explain a method
            | read with expression | plan a fair test | draw a graph | divide by two-digit numbers
            | find evidence in a text | play a scale | use speech marks | tell the time | work in a group
            | read a map
        exam: end of term test | mock examination | spelling test | reading assessment | mid-year examination
        topic: the Romans | volcanoes | electricity | rainforests | the water cycle | Ancient Egypt | the Vikings
            | healthy eating | local history | the planets | forces | Victorian children
        nextyear: the next term | the new school year | year {2-11}
        destination: the {town} museum | {place} farm | the science centre | {place} castle | the wildlife park
            | the {town} theatre | the synagogue in {town} | {place} woods
        event: sports day | the winter concert | parents' evening | the book fair | the school play | open morning
            | the science fair | the summer fair | world book day
        club: Chess | Football | Gardening | Choir | Coding | Drama | Netball
        house: {place} | Red | Blue | Green | Yellow
    """),
    cast={"pupil": "person", "year": "1-11", "subject": "subject", "topic": "topic", "event": "event"},
    own={"subject": 8, "topic": 8, "destination": 4, "event": 6, "house": 3, "club": 4},
)
