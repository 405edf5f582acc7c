"""Prose, poems, songs and code for the labelled texts: written for this, or too old to be
anyone's."""

from __future__ import annotations

PROSE = [
    (
        "The photograph shows a quiet street in the early morning. A bicycle leans against a lamp"
        " post, and the shutters of the bakery are still down. Two pigeons walk along the kerb"
        " towards a puddle that mirrors the roofs."
    ),
    (
        "The chart compares the rainfall of four cities over a year. Bergen has the most rain in"
        " October, while Athens stays dry from June to the end of August. The two others lie"
        " between them and change little from month to month."
    ),
    (
        "A woman in a green coat is reading a newspaper on a bench. Behind her, children play"
        " football, and a man is selling roasted chestnuts from a cart. The trees have lost most of"
        " their leaves, so it must be late autumn."
    ),
    (
        "This page is the second of a letter. The writer thanks his sister for the parcel, tells of"
        " the harvest and of a horse that fell ill, and asks whether the roof was mended before the"
        " snow. The hand is small and even."
    ),
    (
        "The diagram explains how water reaches a house: it is pumped from the well to the tank"
        " under the roof, from where it flows down to the kitchen, the bath and the garden. A valve"
        " next to the tank keeps it from flowing back."
    ),
    (
        "Three climbers stand on a narrow ridge. The one in front points at something outside the"
        " picture; the second adjusts a strap, and the last one, in an orange jacket, is drinking."
        " Far below, clouds cover the valley."
    ),
    (
        "On the left there is a shelf with jars of spices, on the right a window with a view of the"
        " harbour. The cook, whose face is turned away, cuts onions on a round board. Steam rises"
        " from two of the four pots."
    ),
    (
        "The receipt was issued by a garden centre and lists seeds, a pair of gloves and two bags"
        " of soil. It was paid by card. Part of the date is hidden by a stain, but the year can be"
        " read."
    ),
]

CHINESE_PROSE = [
    (
        "照片里是一条安静的老街，两旁的房子有灰色的瓦顶。一位老人坐在门前编竹篮，脚边卧着一只黄狗。"
        "远处的山被薄雾遮住，只露出一点轮廓。"
    ),
    (
        "这张图表比较了四个城市全年的降水量。广州在六月最多，北京主要集中在七月和八月，"
        "而乌鲁木齐一年四季都很少。"
    ),
    (
        "厨房的窗户开着，阳光照在木桌上。桌上放着半个西瓜、一把刀和两只玻璃杯。"
        "墙上的日历停在去年的十二月。"
    ),
    (
        "图为一张旧船票，上面写着出发的日期、舱位和价格。右下角有一个红色的印章，字迹已经模糊，"
        "但仍能认出“上海”二字。"
    ),
    (
        "运动场上正在进行接力赛，跑在最前面的女孩穿着蓝色背心，她的队友在终点挥手。"
        "看台上坐满了学生和家长。"
    ),
]

POEMS = [
    # The Tyger, William Blake, 1794
    (
        "Tyger Tyger, burning bright,\nIn the forests of the night;\nWhat immortal hand or"
        " eye,\nCould frame thy fearful symmetry?\n\nIn what distant deeps or skies,\nBurnt the"
        " fire of thine eyes?\nOn what wings dare he aspire?\nWhat the hand, dare seize the"
        " fire?\n\nTyger Tyger burning bright,\nIn the forests of the night:\nWhat immortal hand or"
        " eye,\nDare frame thy fearful symmetry?"
    ),
    # The Bells, Edgar Allan Poe, 1849
    (
        "To the swinging and the ringing\nOf the bells, bells, bells,\nOf the bells, bells, bells,"
        " bells,\nBells, bells, bells—\nTo the rhyming and the chiming of the bells!\n\nHow it"
        " swells!\nHow it dwells\nOn the Future! how it tells\nOf the rapture that impels\nTo the"
        " swinging and the ringing\nOf the bells, bells, bells—\nOf the bells, bells, bells,"
        " bells,\nBells, bells, bells—\nTo the rhyming and the chiming of the bells!"
    ),
    # Break, Break, Break, Alfred Tennyson, 1842
    (
        "Break, break, break,\nOn thy cold gray stones, O Sea!\nAnd I would that my tongue could"
        " utter\nThe thoughts that arise in me.\n\nBreak, break, break,\nAt the foot of thy crags,"
        " O Sea!\nBut the tender grace of a day that is dead\nWill never come back to me."
    ),
    # 诗经·芣苢
    (
        "采采芣苢，薄言采之。\n采采芣苢，薄言有之。\n采采芣苢，薄言掇之。\n采采芣苢，薄言捋之。"
        "\n采采芣苢，薄言袺之。\n采采芣苢，薄言襭之。"
    ),
    # 李清照，声声慢
    (
        "寻寻觅觅，冷冷清清，凄凄惨惨戚戚。乍暖还寒时候，最难将息。三杯两盏淡酒，怎敌他、"
        "晚来风急？雁过也，正伤心，却是旧时相识。"
    ),
    # 静夜思，李白
    "床前明月光，\n疑是地上霜。\n举头望明月，\n低头思故乡。",
    # Der Erlkönig, Goethe, 1782
    (
        "Wer reitet so spät durch Nacht und Wind?\nEs ist der Vater mit seinem Kind;\nEr hat den"
        " Knaben wohl in dem Arm,\nEr faßt ihn sicher, er hält ihn warm.\n\nMein Sohn, was birgst"
        " du so bang dein Gesicht?\nSiehst, Vater, du den Erlkönig nicht?\nMein Vater, mein Vater,"
        " und hörest du nicht?\nMein Vater, mein Vater, jetzt faßt er mich an!"
    ),
]

_FARM = (
    "Old MacDonald had a farm,\nE-I-E-I-O.\nAnd on that farm he had a {0},\nE-I-E-I-O.\nWith a"
    " {1}-{1} here,\nAnd a {1}-{1} there,\nHere a {1}, there a {1},\nEverywhere a {1}-{1}.\nOld"
    " MacDonald had a farm,\nE-I-E-I-O.\n\n"
)

SONGS = [
    "Row, row, row your boat,\nGently down the stream.\nMerrily, merrily, merrily, merrily,\nLife"
    " is but a dream.\n" * 3,
    (
        "London Bridge is falling down,\nFalling down, falling down.\nLondon Bridge is falling"
        " down,\nMy fair lady.\n\nBuild it up with wood and clay,\nWood and clay, wood and"
        " clay,\nBuild it up with wood and clay,\nMy fair lady.\n\nWood and clay will wash"
        " away,\nWash away, wash away,\nWood and clay will wash away,\nMy fair lady."
    ),
    "".join(
        _FARM.format(*pair)
        for pair in [("cow", "moo"), ("pig", "oink"), ("duck", "quack"), ("horse", "neigh")]
    ),
    "Frère Jacques, Frère Jacques,\nDormez-vous ? Dormez-vous ?\nSonnez les matines ! Sonnez les"
    " matines !\nDing, ding, dong. Ding, ding, dong.\n" * 4,
    "".join(
        f"{number} green bottles hanging on the wall,\n{number} green bottles hanging on the"
        f" wall,\nAnd if one green bottle should accidentally fall,\nThere'll be {number - 1} green"
        " bottles hanging on the wall.\n\n"
        for number in range(10, 6, -1)
    ),
    (
        "Deck the halls with boughs of holly,\nFa la la la la, la la la la!\n'Tis the season to be"
        " jolly,\nFa la la la la, la la la la!\nDon we now our gay apparel,\nFa la la, fa la la, la"
        " la la!\nTroll the ancient Yuletide carol,\nFa la la la la, la la la la!"
    ),
    "If you're happy and you know it, clap your hands.\nIf you're happy and you know it, clap your"
    " hands.\nIf you're happy and you know it, and you really want to show it,\nIf you're happy and"
    " you know it, clap your hands.\n" * 2,
    "两只老虎，两只老虎，跑得快，跑得快。一只没有眼睛，一只没有尾巴，真奇怪，真奇怪。\n" * 3,
]

CODE = [
    "def test_all():\n"
    + "".join(
        f"    assert parse({text!r}) is None\n"
        for text in ["", " ", "a", "1", "[", "]]", "<", "[,]"]
    ),
    "switch (key) {\n"
    + "".join(f"  case '{c}':\n    handle();\n    break;\n" for c in "abcdefghijklmnop")
    + "}\n",
    "static const uint8_t table[256] = {\n"
    + "    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,\n" * 16
    + "};\n",
    "for i in range(10):\n    print(i)\n    print()\n    print()\n    print()\n\n" * 3,
    "<div>\n  <ul>\n" + "    <li></li>\n" * 20 + "  </ul>\n</div>\n",
    (
        ".a { margin: 0 0 0 0; padding: 0 0 0 0; }\n.b { margin: 0 0 0 0; padding: 0 0 0 0; }\n.c {"
        " margin: 0 0 0 0; }\n"
    ),
    "INSERT INTO t VALUES (NULL, NULL, NULL, NULL, NULL, NULL);\n" * 5,
    (
        "    mov eax, 0\n    nop\n    nop\n    nop\n    nop\n    nop\n    nop\n    nop\n    nop\n  "
        "  ret\n"
    ),
]

NAMES = [
    "Anna",
    "Bruno",
    "Chloe",
    "Dmitri",
    "Emre",
    "Fatima",
    "Georg",
    "Hana",
    "Igor",
    "Jun",
    "Karim",
    "Lena",
    "Marek",
    "Nadia",
    "Olga",
    "Pavel",
    "Qiang",
    "Rosa",
    "Sven",
    "Tariq",
    "Uma",
    "Viktor",
    "Wen",
    "Xenia",
    "Yuki",
    "Zoe",
]
COLOURS = "red blue green white black yellow wooden small large broken".split()  # noqa: SIM905
THINGS = [
    "car",
    "chair",
    "lamp",
    "bottle",
    "bicycle",
    "table",
    "window",
    "basket",
    "umbrella",
    "plate",
    "book",
    "clock",
]
