"""What a judge model is asked, as published by MM-Vet, MathVista and MMBench-Video and used by
VLMEvalKit. The words are part of the measure: with others, the figures could not be compared."""

MMVET = """
Compare the ground truth and prediction from AI models, to give a correctness score for the \
prediction.
<AND> in the ground truth means it is totally right
only when all elements in the ground truth are present in the prediction,
and <OR> means it is totally right when any one element in the ground truth is present in the \
prediction.
The correctness score is 0.0 (totally wrong), 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, or 1.0 \
(totally right).
Just complete the last space of the correctness score.

Question | Ground truth | Prediction | Correctness
--- | --- | --- | ---
What is x in the equation? | -1 <AND> -5 | x = 3 | 0.0
What is x in the equation? | -1 <AND> -5 | x = -1 | 0.5
What is x in the equation? | -1 <AND> -5 | x = -5 | 0.5
What is x in the equation? | -1 <AND> -5 | x = -5 or 5 | 0.5
What is x in the equation? | -1 <AND> -5 | x = -1 or x = -5 | 1.0
Can you explain this meme? | This meme is poking fun at the fact that the names of the countries
Iceland and Greenland are misleading. Despite its name, Iceland is known for its beautiful green \
landscapes,
while Greenland is mostly covered in ice and snow. The meme is saying that the person has trust \
issues
because the names of these countries do not accurately represent their landscapes. |
The meme talks about Iceland and Greenland. It's pointing out that despite their names,
Iceland is not very icy and Greenland isn't very green. | 0.4
Can you explain this meme? | This meme is poking fun at the fact that the names of the countries
Iceland and Greenland are misleading. Despite its name, Iceland is known for its beautiful green \
landscapes,
while Greenland is mostly covered in ice and snow. The meme is saying that the person has trust \
issues
because the names of these countries do not accurately represent their landscapes. |
The meme is using humor to point out the misleading nature of Iceland's and Greenland's names.
Iceland, despite its name, has lush green landscapes while Greenland is mostly covered in ice and \
snow.
The text 'This is why I have trust issues' is a playful way to suggest
that these contradictions can lead to distrust or confusion.
The humor in this meme is derived from the unexpected contrast between the names of the countries
and their actual physical characteristics. | 1.0

"""

MMBENCH_VIDEO = """
As an AI assistant, your task is to evaluate a candidate answer in comparison to a given correct \
answer.
The question itself, the correct 'groundtruth' answer, and the candidate answer will be provided \
to you.
Your assessment should range from 0 to 3, \
based solely on the semantic similarity between the groundtruth and the candidate answer, \
disregarding any grammatical differences.
A rating of 0 suggests no similarity, implying the candidate answer is entirely incorrect.
A rating of 1 suggests low similarity, meaning the candidate answer is largely incorrect.
A rating of 2 suggests high similarity, meaning the candidate answer is largely correct.
Lastly, a rating of 3 indicates complete similarity, which means the candidate answer is entirely \
correct.
Your response should be a single integer from 0, 1, 2, or 3.
"""

_INTEGER = (
    "Please answer the question requiring an integer answer and provide the final value,\ne.g., 1,"
    " 2, 3, at the end."
)
_ONE = (
    "Please answer the question requiring a floating-point number with one decimal place and"
    " provide the final value,\ne.g., 1.2, 1.3, 1.4, at the end."
)
_TWO = (
    "Please answer the question requiring a floating-point number with two decimal places and"
    " provide the final value,\ne.g., 1.23, 1.34, 1.45, at the end."
)
_LIST = (
    "Please answer the question requiring a Python list as an answer and provide the final list,\n"
    "e.g., [1, 2, 3], [1.2, 1.3, 1.4], at the end."
)
_LETTER = (
    "Please answer the question and provide the correct option letter, e.g., A, B, C, D, at the"
    " end."
)
# Hint, question (with choices), response, extracted answer.
_EXAMPLES = (
    (_INTEGER, "Which number is missing?", "The number missing in the sequence is 14.", "14"),
    (
        _ONE,
        "What is the fraction of females facing the camera?",
        (
            "The fraction of females facing the camera is 0.6,\n"
            "which means that six out of ten females in the group are facing the camera."
        ),
        "0.6",
    ),
    (
        _TWO,
        (
            "How much money does Luca need to buy a sour apple candy and a butter-scotch candy?"
            " (Unit: $)"
        ),
        "Luca needs $1.45 to buy a sour apple candy and a butterscotch candy.",
        "1.45",
    ),
    (
        _LIST,
        "Between which two years does the line graph saw its maximum peak?",
        "The line graph saw its maximum peak between 2007 and 2008.",
        "[2007, 2008]",
    ),
    (
        _LETTER,
        "What fraction of the shape is blue?\n\nChoices: (A) 3/11 (B) 8/11 (C) 6/11 (D) 3/5",
        "The correct answer is (B) 8/11.",
        "B",
    ),
)


def _example(hint: str, question: str, response: str, answer: str) -> str:
    return (
        f"\nHint: {hint}\n\nQuestion: {question}\n\nModel response: {response}\n\nExtracted answer:"
        f" {answer}\n\n"
    )


MATHVISTA = (
    "\nPlease read the following example.\n"
    "Then extract the answer from the model response and type it at the end of the prompt.\n\n"
    + "".join(_example(*one) for one in _EXAMPLES)
)
