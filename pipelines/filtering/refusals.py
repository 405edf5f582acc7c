"""How models refuse: patterns of DuckDB's regular expressions (RE2), without regard to case.

A pattern must not hold for what a picture shows or a page says: "Sorry, we are closed" on a door,
"please attach a photograph" on a form. So most want the first person, or the first words of the
answer, and none a first person that follows a quotation mark.
"""

from __future__ import annotations

_I = r"(^|[^\w\"“”‘’'«„「])i "
_NOT = (
    r"((can(no|['’])?t|can ?not|could( not|n['’]t)|(am|was) (unable|not able) to"
    r"|(wo|would)n['’]t( be able to)?|(will|would) not( be able to)?) )"
)
_DO = (
    r"(help|assist|provide|process|see|view|access|read|identify|analy[sz]e|describe|determine"
    r"|comply|fulfil|transcribe|extract|make out|recogni[sz]e|answer|discuss"
    r"|tell (what|who)|look at"
    r"|open|find (a|an|any|the) (image|picture|photo|document|page|file))"
)
_MEDIUM = r"(image|picture|photo(graph)?|document|page|file|attachment|screenshot|pdf)"
_SENT = r"(provided|attached|uploaded|shared|sent|included)"
_FIRST = r"^\W*"

REFUSALS = (
    _FIRST + r"(i['’]?m |i am )?(so |very )?(sorry|afraid|unable to)\b",
    _I + _NOT + _DO,
    _I + r"((must|have to|need to|will have to) (decline|refuse)|would rather not)",
    _I + r"(am not comfortable|do(n['’]t| not) feel (able|comfortable))",
    _I + r"do(n['’]t| not) (see|have) (an|any|the) " + _MEDIUM + r" (in|attached|here|to )",
    _I + r"do(n['’]t| not) have (the|any) (ability|capability|capacity|means) to ",
    _I + r"do(n['’]t| not) have access to (the|this|that|your|any) " + _MEDIUM,
    r"(^|[^\w\"“”‘’'«„「])i['’](d rather not|m (unable to|not (able to"
    r"|comfortable|permitted|allowed)))",
    _FIRST + r"(unfortunately|regrettably)\b.*\b(i|me|my)\b",
    _FIRST + r"(my )?apologies\b",
    _FIRST + r"i apologi[sz]e\b",
    r"\b(against|violates?) (the|my|our) (\w+ )?(guidelines|polic(y|ies))\b",
    _FIRST
    + r"my (guidelines|polic(y|ies)|instructions) (do|does|don['’]t|forbid|prevent|prohibit)",
    _FIRST
    + r"as an? (ai|artificial intelligence|((large|text-based) )?(language model|assistant))\b",
    r"\b(image|picture|page|document) (was|is) not (provided|attached|visible|available)",
    _FIRST + rf"(it (seems|appears|looks like) (that )?)?no {_MEDIUM} (was|is|has been) {_SENT}",
    _FIRST + rf"it (seems|appears|looks like) (that )?(the|your) {_MEDIUM} (did|was|could|has)",
    _FIRST + rf"(the|your) {_MEDIUM} (that )?(you (have |['’]ve )?{_SENT} |could not be loaded)"
    r"((is|was|appears|seems)( to be)? (blank|empty|black|too|corrupt|not |unreadable)|,|\.)",
    rf"\bthere is no (\w+ )?text (in|on) (the|this|your) {_MEDIUM},? (that|which|for) (i|me)\b",
    rf"\bplease (provide|upload|share|send|attach|try) .{{0,40}}\b(clearer|another|different) "
    rf"({_MEDIUM}|one)\b",
    r"\bwould not be appropriate\b.*\bi (will|would|do|can)( not|n['’]t|not)\b",
    r"^\W*(非常|很|十分)?(抱歉|对不起|不好意思)",
    r"没有任何(可以|能够?)?(描述|识别|读取)",
    r"(我|本模型)(无法|不能|没有办法|不便|不方便|不会)(对|给出|作出|做出|识别|查看|提供|回答|处理|读取|看到|描述|讨论|帮)",
    r"作为(一个|一名)?(人工智能|AI|语言模型)",
    r"我(是|只是)(一个|一名)?(人工智能|AI|(大型)?语言模型).*(不能|无法|看不到|没有)",
    r"(图片|图像|照片|文件)(未能|没能|没有)(成功)?(上传|加载|显示)",
    r"(您|你)(没有|并未|未)(提供|上传|发送)(任何)?(图片|图像|照片|文件)",
    r"请(您)?(重新)?(提供|上传|发送)(一张)?(更|较)(加)?清晰的",
    _FIRST + r"(es )?tut mir (sehr |wirklich )?leid\b",
    _FIRST + r"(leider (kann|darf) ich|ich kann .* (leider )?nicht (lesen|beschreiben"
    r"|erkennen|helfen|sehen))",
    _FIRST + r"(je suis (vraiment |sincèrement )?)?désolée?(,| de ne|\.|$)",
    _FIRST + r"(malheureusement, )?je ne (peux|puis|suis) pas (en mesure|capable"
    r"|d[eé]crire|voir|lire|identifier|vous aider)",
    _FIRST + r"(lo siento|lo lamento|disculp[ae]|desafortunadamente, no puedo)\b",
    _FIRST + r"no puedo (ver|leer|ayudar|describir|identificar|procesar)",
    _FIRST + r"(大変)?(申し訳|すみません|恐れ入りますが)",
    r"(画像|写真|文字|テキスト)を(読み取る|認識する|表示する|説明する|確認する)ことが?(は)?でき(ません|ない)",
)
