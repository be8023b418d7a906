"""A retailer: customers' reviews and complaints in plain words, and notes from the shop floor."""

from __future__ import annotations

from fedlora_tui.organizations.grammar import Form, Trade, lines, table

REVIEW = Form(
    opening=lines("""
        {stars}: I bought the {item} in {colour} from the {place} shop for {price} and [I love it|it is fine|I
            regret it].
        {stars}: the {item} arrived on {weekday}, [a day early|four days late|in a torn box|beautifully wrapped].
        {stars}: this is my {count} {item} from {brand} and the quality has [gone up|gone down|stayed the same].
        {customer.first} writes: the {item} looks [just like|nothing like|even better than] the picture.
    """),
    middle=lines("""
        The {fabric} feels [soft|cheap|sturdy|thin] and the colour [is lovely|faded after one wash|is darker than
            shown].
        It [fits true to size|runs small|runs large], so order a size [up|down|as usual].
        Delivery was {fast} and the driver left it [with a neighbour|behind the bin|on the porch].
        After {2-9} weeks the {part} [came off|broke|still looks like new].
        My {relative} wanted one too, so I ordered {another} straight away.
        I asked for a refund and {staff.first} in the {place} shop sorted it out in {3-20} minutes.
        For {price} you cannot go wrong, but wait for the {sale} if you can.
        The customer service line kept me waiting for {8-55} minutes and then hung up.
        The instructions were missing, yet it took only {10-70} minutes to put together.
    """),
    closing=lines("""
        Would buy again!
        [Would recommend to a friend.|Not worth the money.|Five stars from me.|Sending it back tomorrow.]
        Thanks to {staff.first} at the till for being so helpful.
        I will think twice before I order from {brand} again.
        All in all a [good|decent|disappointing|great] {item} for the price.
    """),
)

SHOP_NOTE = Form(
    opening=lines("""
        Return {ticket} at the {place} shop: {item}, {colour}, size {size}, bought for {price} on {date}.
        Store note {place}, {weekday}: the {item} sold out by {time 10-18} and {12-90} more are on order.
        Order {ticket} for {customer}, one {item} in {colour} and {another}, click and collect at {place}.
        Complaint {ticket} from {customer}: {item} delivered with a broken {part}.
    """),
    middle=lines("""
        Reason given: [wrong size|changed mind|faulty {part}|not as described|unwanted gift]; receipt [seen|not seen].
        Refunded {price} to the original card, loyalty points taken back.
        Exchanged for size {size} in {colour}, price difference {money 2-19} paid at the till.
        Stock count shows {0-6} on the shelf and {7-48} in the back room, the system says {9-60}.
        The {sale} labels must be on the {department} shelves before opening on {weekday}.
        {staff.first} to move the {item} display next to the {department} entrance.
        Shrinkage in {department} is up {2-9} per cent, tags to be fitted on the {item} range.
        Voucher of {money 5-30} offered as an apology, the customer accepted.
    """),
    closing=lines("""
        Item goes back to [the warehouse|the shelf|the supplier|the outlet].
        Text message sent to {phone}, parcel waits on shelf {1-40} until {date}.
        Signed off by {staff}, duty manager.
        Please mention this at the morning briefing.
    """),
)

RETAILER = Trade(
    name="retailer",
    documents=(1800, 2500),
    length=(32, 46),
    forms=(REVIEW, SHOP_NOTE),
    words=table("""
        stars: One star | Two stars | Three stars | Four stars | Five stars
        item: raincoat | {brand} jacket | desk lamp | saucepan set | {brand} backpack | duvet cover | cotton shirt
            | {brand} kettle | garden chair | winter coat | {brand} blender | wool jumper | suitcase | bookcase
            | floral dress | toddler sleepsuit
        colour: navy | mustard | forest green | charcoal | cream | dusty pink | black | burgundy | light grey | teal
        fabric: fabric | lining | leather | cotton | finish | material | wood
        part: zip | handle | strap | lid | button | seam | buckle | label
        relative: sister | mum | partner | neighbour | daughter | brother
        another: a matching scarf | a second one in {colour} | the larger size | a gift card | spare laces
        fast: quick | slow | free | on time | very late
        sale: spring sale | clearance | half price weekend | loyalty day | winter sale
        count: second | third | fourth
        size: S | M | L | XL | 36 | 38 | 40 | 42 | 44
        department: menswear | womenswear | kitchenware | footwear | garden | toys | bedding | luggage
    """),
    cast={
        "customer": "person",
        "item": "item",
        "price": "money 8-240",
        "colour": "colour",
        "ticket": "reference",
        "part": "part",
    },
    own={"item": 9, "colour": 6, "department": 4, "part": 5, "sale": 3},
)
