"""Texts of planted units: descriptions from a grammar, forms, refusals, and sentences in other
languages."""

from __future__ import annotations

import random

_NOUNS = """bicycle kettle lantern violin ladder basket sailboat tractor umbrella telescope piano
suitcase wheelbarrow typewriter clock mirror carpet fountain statue bridge lighthouse windmill barn
greenhouse staircase balcony chimney fisherman baker child nurse guitarist gardener cyclist goat
heron squirrel donkey salmon owl beetle horse pumpkin lemon loaf teapot saucer scarf glove hammer
anvil rope barrel crate poster map letter candle curtain pillow"""
_ADJECTIVES = """red narrow rusty polished tall striped faded wooden broken shining damp yellow
crooked heavy quiet painted dusty green enormous tiny silver old new blue folded cracked bright
empty crowded leaning"""
_VERBS = """leans against|stands behind|rests on|hangs above|lies beside|faces|covers|hides|reflects
touches|follows|carries|passes|shelters|overlooks|supports|crosses|watches|blocks|surrounds"""
_PLACES = """in the harbour|near the old station|under a grey sky|at the edge of the field
in a workshop|by the window|on the market square|behind the church|along the canal
in front of a brick wall|between two houses|at dusk|in heavy rain|on a kitchen table
before the theatre|in the snow|beside the railway|in an orchard|on the pier|inside a museum"""
NOUNS, ADJECTIVES = _NOUNS.split(), _ADJECTIVES.split()
VERBS, PLACES = (text.replace("\n", "|").split("|") for text in (_VERBS, _PLACES))
_SHAPES = (
    "A {a} {n} {v} a {b} {m} {p}.",
    "{p}, the {n} {v} the {a} {m}.",
    "The {a} {n} {v} a {m}, and a {o} {v2} the {b} {k}.",
    "There is a {a} {n} {p}; nearby, a {m} {v} the {o}.",
    "Two of the {b} {m}s can be seen {p}, while a {n} {v} the {k}.",
)
_FORM = (
    "Invoice {i}. From {a} Ltd to {b} & Sons, dated {d} March. Item: {n}, {q} pieces at {e} euros"
    " each. Sum: {s} euros. Payable within {w} days to the account named below. Goods remain the"
    " property of the seller until paid in full."
)

# What models say. The rule was extended for these, not for those that are held out, which were
# written first.
REFUSALS = tuple(
    line
    for line in """
I'm sorry, but I can't assist with that request.
I'm sorry, but I am unable to view the image you mention.
Sorry, I can't help with that.
I apologize, but I cannot identify people in photographs.
I cannot read the text in this image because it is too blurry.
Unfortunately, I'm not able to transcribe this page.
Unfortunately, the image is too dark for me to make out anything.
I am unable to provide a description of this picture.
I can't see any image in our conversation. Could you upload it again?
It seems that no image was attached to your message.
No image was provided, so there is nothing that I could describe.
I don't have the ability to view images.
As an AI language model, I do not have access to the picture.
As a language model, I can only process text.
I won't be able to transcribe this document.
I'm afraid I cannot make out the words on this page.
I must decline to describe this image.
Describing this person would not be appropriate, so I will not do it.
I'm not comfortable identifying the person in this photograph.
The image appears to be completely black. Please provide another one.
The page you have shared is blank, so I have no text to give you.
There is no text in the image that I could transcribe.
I was unable to extract any text from the picture.
Please provide a clearer image so that I can help you.
My apologies, this content is against the guidelines that I follow.
This request goes against my usage policies.
I cannot comply with this request.
I do not feel able to answer that.
Sorry - the picture did not load on my side.
I could not find a document in your message.
I cannot provide the information that you ask for.
I'm unable to determine what the picture shows.
I can not analyze this image.
I am not able to view attachments.
I can't process this file.
Regrettably, I have to refuse.
I would rather not describe this picture.
As an artificial intelligence, I have no eyes to see the picture with.
The document is not visible to me.
The picture was not attached.
很抱歉，我无法识别这张图片中的文字。
抱歉，我不能提供这方面的帮助。
对不起，我看不到您所说的图片。
不好意思，这张图片太模糊了，我读不出来。
我无法查看图片内容。
作为一个人工智能语言模型，我没有办法看到图片。
作为AI助手，我不能描述人物的身份。
您好，图片未能成功上传，请重新上传。
这张图片是全黑的，没有任何可以描述的内容。
根据相关规定，我不便回答这个问题。
""".strip().splitlines()
)

HELD_OUT_REFUSALS = {
    "English": """
I'm unable to help with identifying individuals in images.
I can't identify who this person is from the photo.
I cannot see any image attached here.
I'm not able to assist with that.
This image contains content that I can't discuss.
Your image could not be loaded, so I have nothing to describe.
Since the image is entirely black, I can't tell what it shows.
The text is illegible and I cannot transcribe it with confidence.
It looks like the image didn't come through. Could you try sending it again?
I don't see an image in your message.
Sorry, but I don't have enough information to describe the image.
As a text-based assistant, I cannot look at pictures.
I won't describe this image.
My guidelines do not allow me to describe people's appearance.
I do not have the capability to open files.
That is something I'm not permitted to do.
""",
    "Chinese": """
非常抱歉，这个问题我无法回答。
抱歉，图片内容不清晰，无法提取文字。
我是一个语言模型，看不到图片。
您没有提供图片，请上传后再试。
这个请求违反了使用政策，我不能处理。
图片中没有可以识别的文字内容，请提供更清晰的图片。
对于这张图片，我不能给出描述。
我不会对图中人物的身份作出判断。
""",
    "German, French, Spanish, Japanese": """
Es tut mir leid, aber dabei kann ich nicht helfen.
Ich kann den Text auf diesem Bild leider nicht lesen.
Je suis désolé, mais je ne peux pas décrire cette image.
Je ne suis pas en mesure d'identifier cette personne.
Lo siento, no puedo ayudarte con eso.
No puedo ver ninguna imagen en tu mensaje.
申し訳ありませんが、この画像の内容を説明することはできません。
画像を読み取ることができませんでした。
""",
}

RESEMBLE_REFUSALS = (
    "A shop door with a paper sign that reads SORRY, WE ARE CLOSED.",
    'The first line of the letter says: "I am sorry to hear of your loss."',
    'In the speech bubble, the boy calls: "I can\'t see the ball!"',
    "A man with a sad face, who is unable to lift the heavy suitcase.",
    'The heading of the leaflet is "When you cannot help a friend".',
    "A ticket machine whose screen shows: Sorry, card not accepted.",
    "The note on the fridge says that the milk could not be delivered.",
    "A robot holds a board with the words: As an AI, I love tea.",
    "The caption below the photograph is missing, and the date is not visible.",
    'The page ends with the sentence: "We apologise for the delay."',
    "A blank sheet of paper lies on a desk beside a fountain pen.",
    "The screen of the telephone shows a picture that was not sent.",
    "Please attach a photograph of yourself and the completed form.",
    "The document you provided on 3 May is with our legal department.",
    "The image is almost entirely black, with one street lamp in the upper left corner.",
    "An empty page of a diary; there is no text on the page, only a pressed flower.",
)

FOREIGN = {
    "German": (
        "Ein altes Fahrrad lehnt an der Mauer eines kleinen Hauses.",
        "Im Hintergrund sieht man einen Kirchturm und einige Bäume.",
        "Auf dem Tisch stehen zwei Tassen und eine Kanne mit Tee.",
        "Der Hund schläft vor der offenen Tür in der Sonne.",
        "Über dem Eingang hängt ein Schild mit goldenen Buchstaben.",
    ),
    "French": (
        "Un vieux vélo est appuyé contre le mur d'une petite maison.",
        "À l'arrière-plan, on aperçoit un clocher et quelques arbres.",
        "Sur la table se trouvent deux tasses et une théière.",
        "Le chien dort au soleil devant la porte ouverte.",
        "Une enseigne aux lettres dorées est suspendue au-dessus de l'entrée.",
    ),
    "Spanish": (
        "Una bicicleta vieja está apoyada en la pared de una casa pequeña.",
        "Al fondo se ven la torre de una iglesia y algunos árboles.",
        "Sobre la mesa hay dos tazas y una tetera.",
        "El perro duerme al sol delante de la puerta abierta.",
        "Encima de la entrada cuelga un letrero con letras doradas.",
    ),
    "Chinese": (
        "一辆旧自行车靠在一座小房子的墙边。",
        "背景中可以看到一座教堂的塔楼和几棵树。",
        "桌子上放着两个茶杯和一个茶壶。",
        "狗在敞开的门前晒着太阳睡觉。",
        "入口上方挂着一块写着金色大字的招牌。",
    ),
}


def sentence(draw: random.Random) -> str:
    """One sentence about what a picture shows."""
    nouns, adjectives, verbs = (
        draw.sample(NOUNS, 4),
        draw.sample(ADJECTIVES, 2),
        draw.sample(VERBS, 2),
    )
    named = dict(zip("nmok", nouns, strict=True)) | dict(zip("ab", adjectives, strict=True))
    text = draw.choice(_SHAPES).format(v=verbs[0], v2=verbs[1], p=draw.choice(PLACES), **named)
    return text[0].upper() + text[1:]


def paragraph(draw: random.Random) -> str:
    """Three to six sentences."""
    return " ".join(sentence(draw) for _ in range(draw.randint(3, 6)))


def form(draw: random.Random) -> str:
    """A filled form: what is printed on it is always the same."""
    count, price = draw.randint(2, 90), draw.randint(2, 400)
    names = [name.capitalize() for name in draw.sample(NOUNS, 2)]
    facts = {
        "i": draw.randint(10_000, 99_999),
        "d": draw.randint(1, 31),
        "n": draw.choice(NOUNS),
        "q": count,
    }
    return _FORM.format(
        a=names[0], b=names[1], e=price, s=count * price, w=draw.choice([14, 30]), **facts
    )
