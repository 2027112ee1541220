"""The packs that a fresh installation has: eight, of our own wording. {subject} becomes `ohwx
man` and so on, one template a class."""

from __future__ import annotations

from typing import NamedTuple

PEOPLE = ("man", "woman", "person")


class Starter(NamedTuple):
    slug: str
    title: str
    subtitle: str
    classes: tuple[str, ...]
    texts: tuple[str, ...]


STARTERS = (
    Starter(
        "corporate",
        "Corporate headshots",
        "For a company page, a profile, a badge",
        PEOPLE,
        (
            (
                "{subject} in a charcoal suit and open white shirt, head and shoulders, friendly "
                "direct gaze, plain light grey "
                "wall, soft window light from the left, business portrait photograph"
            ),
            (
                "{subject} in a navy blazer, standing in a bright open-plan office with arms "
                "folded, desks and plants softly out "
                "of focus behind, morning daylight, photograph at eye level"
            ),
            (
                "{subject} in a fine-knit dark sweater, seated at a meeting table with a closed "
                "laptop, relaxed smile, glass wall "
                "behind, even daylight, waist-up photograph"
            ),
            (
                "{subject} in a white shirt, close portrait against a deep blue studio backdrop, "
                "one large softbox from the "
                "right, calm expression, crisp eyes"
            ),
            (
                "{subject} in a beige jacket, walking along a modern office corridor with a "
                "notebook, wooden panels, warm ceiling "
                "light, natural stride, photograph"
            ),
            (
                "{subject} speaking on a small stage, dark blazer, microphone headset, one hand "
                "raised, audience in the "
                "foreground as soft shapes, warm spotlight"
            ),
        ),
    ),
    Starter(
        "outdoor",
        "Outdoor",
        "Daylight, air and a little wind",
        PEOPLE,
        (
            (
                "{subject} on a mountain path in a rust-red rain jacket, green valley behind, "
                "low clouds lifting, hair moved by "
                "the wind, photograph in early light"
            ),
            (
                "{subject} at a rocky seashore in a thick cream sweater, waves breaking behind, "
                "golden evening sun on the face, "
                "waist-up photograph"
            ),
            (
                "{subject} in a denim jacket leaning on a wooden fence, wheat field to the "
                "horizon, late summer sun behind, warm rim of light"
            ),
            (
                "{subject} in a pine forest with a small backpack, shafts of sun through mist, "
                "looking upwards, photograph with deep greens"
            ),
            (
                "{subject} riding a city bicycle along a canal, light blue shirt, spring trees "
                "in blossom, clear noon light, sense of movement"
            ),
            (
                "{subject} beside a camp fire at dusk, checked wool blanket round the shoulders, "
                "orange glow on the face, dark "
                "blue lake behind"
            ),
        ),
    ),
    Starter(
        "studio-black-and-white",
        "Studio, black and white",
        "One light, one wall, a face",
        PEOPLE,
        (
            (
                "{subject} in a black roll-neck, black and white studio portrait, one hard light "
                "from the side, half of the face "
                "in shadow, dark background, fine grain"
            ),
            (
                "{subject} in a white shirt with rolled sleeves, black and white studio "
                "photograph, seated on a wooden stool, "
                "plain white wall, soft even light"
            ),
            (
                "{subject} laughing with closed eyes, black and white close portrait, grey "
                "seamless paper, large soft light from above"
            ),
            (
                "{subject} in profile, black and white photograph, thin bright outline of light "
                "from behind, deep black background, quiet mood"
            ),
            (
                "{subject} in a long dark coat, full figure, black and white studio photograph, "
                "hands in pockets, shadow on a "
                "textured canvas backdrop"
            ),
        ),
    ),
    Starter(
        "casual",
        "Casual",
        "Everyday clothes, everyday places",
        PEOPLE,
        (
            (
                "{subject} in a grey hoodie at a cafe window, both hands round a coffee mug, "
                "rainy street outside, soft daylight, "
                "candid photograph"
            ),
            (
                "{subject} in a plain white T-shirt against a sunlit brick wall, easy smile, "
                "hands in pockets, warm afternoon light"
            ),
            (
                "{subject} on a sofa with a book, striped socks, green house plants, large "
                "window, quiet Sunday light, wide photograph"
            ),
            (
                "{subject} in a kitchen chopping vegetables, linen apron, sleeves rolled up, "
                "copper pans behind, warm lamp light"
            ),
            (
                "{subject} at a street market holding a paper bag of oranges, light summer "
                "shirt, colourful awnings, bright noon, "
                "candid photograph"
            ),
            (
                "{subject} on the steps of an old house in jeans and a checked shirt, chin on "
                "one hand, evening sun, film photograph"
            ),
        ),
    ),
    Starter(
        "creative",
        "Creative",
        "Paint, neon, paper and dreams",
        PEOPLE,
        (
            (
                "{subject} as an oil painting with thick visible brush strokes, ochre and teal "
                "palette, head and shoulders, light "
                "falling from a high window"
            ),
            (
                "{subject} in a silver jacket on a rainy night street, pink and cyan neon "
                "reflected in puddles, cinematic "
                "photograph, shallow depth"
            ),
            (
                "{subject} as a layered paper-cut illustration, pastel hills and a large moon "
                "behind, soft shadows between the layers"
            ),
            (
                "{subject} as an astronaut with an open visor, orange desert planet, two small "
                "moons, warm sunset, detailed film still"
            ),
            (
                "{subject} as a watercolour sketch on textured paper, loose ink lines, splashes "
                "of blue and coral, white margins"
            ),
            (
                "{subject} in a velvet costume of a travelling magician, floating playing cards, "
                "dark red curtain, single theatre spotlight"
            ),
        ),
    ),
    Starter(
        "holiday",
        "Holiday",
        "Snow, candles and far beaches",
        PEOPLE,
        (
            (
                "{subject} in a dark green knitted sweater beside a decorated fir tree, small "
                "warm lights out of focus, holding a "
                "wrapped present, cosy photograph"
            ),
            (
                "{subject} in a red scarf and wool hat in falling snow, wooden market stalls "
                "with lanterns behind, blue dusk, bright smile"
            ),
            (
                "{subject} on a white beach in a linen shirt, turquoise water, palm shadow "
                "across the sand, bright morning sun"
            ),
            (
                "{subject} at a long festive table lit by candles, raising a glass, friends as "
                "soft shapes, warm golden light"
            ),
            (
                "{subject} on a balcony at midnight with a sparkler, dark coat, fireworks above "
                "the city roofs, light on the face"
            ),
            (
                "{subject} with a suitcase in an old railway station, camel coat, sunbeams "
                "through high windows, about to travel"
            ),
        ),
    ),
    Starter(
        "pets",
        "Pets",
        "Dogs and cats at their best",
        ("dog", "cat"),
        (
            (
                "{subject} sitting upright on a plain sand-coloured studio floor, looking into "
                "the camera, soft light from the "
                "left, every hair crisp, portrait photograph"
            ),
            (
                "{subject} in tall summer grass, head above the stems, low evening sun behind, "
                "glowing fur, photograph at eye level"
            ),
            (
                "{subject} asleep on a blue knitted blanket beside a window, rain outside, soft "
                "grey daylight, close photograph"
            ),
            (
                "{subject} wearing a small red bandana on a wooden porch, ears up, autumn leaves "
                "around, warm light"
            ),
            (
                "{subject} as a framed oil painting of a nobleman, dark velvet collar with gold "
                "trim, brown background, candle light"
            ),
            (
                "{subject} running through shallow water at the beach, drops in the air, bright "
                "sun, fast shutter photograph"
            ),
        ),
    ),
    Starter(
        "products",
        "Products",
        "For a shop window or a catalogue",
        ("product",),
        (
            (
                "{subject} on a round stone pedestal, seamless pale grey background, large soft "
                "light from above, gentle shadow, "
                "catalogue photograph"
            ),
            (
                "{subject} on a light oak table beside a sprig of eucalyptus, morning window "
                "light, linen cloth, calm still life photograph"
            ),
            (
                "{subject} on wet black slate, thin mist behind, narrow light from the side "
                "tracing the edges, dark advertising photograph"
            ),
            (
                "{subject} on a bright yellow paper backdrop, hard noon sun, crisp geometric "
                "shadow, playful still life seen from above"
            ),
            (
                "{subject} held in one hand against a blurred city street, evening lights, "
                "natural skin, lifestyle photograph"
            ),
            (
                "{subject} among smooth pebbles at the edge of a clear stream, dappled sunlight, "
                "green moss, close photograph"
            ),
        ),
    ),
)
