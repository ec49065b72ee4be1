"""Tell text that is not English by its letters and its small words, without a model."""

from components.curate.ngrams import words

# Words that make the grammar of a language; those that English has too are left out.
_ENGLISH = frozenset(
    words("the of and to in is a that for with on as are by this be from we it an at which or not")
)
_OTHER = tuple(
    frozenset(words(text))
    for text in (
        "el la los las de que en una por con para es del al como más pero sus esta este se lo",
        "le les des du est une dans que pour qui sur pas avec sont au aux ce cette nous par et la",
        "der die das und ist nicht von den mit ein eine einer für auf dem im zu werden wird "
        "sich auch",
        "o os as do da em um uma para com não que dos das ao é são na no mais",
        "il lo gli di che è per una con non del della sono nel alla anche più le",
        "het een van en niet op voor met zijn dat te wordt de worden ook deze",
        "och det att en som för på är av inte med den till ett",
        "i w na z do że się nie jest to oraz dla od przez jako",
    )
)


def is_foreign(text: str) -> bool:
    """Tell whether a text is not English: another script, or another language's small words.

    Names, formulas and invented words say nothing, so that a text without small words passes.
    """
    letters = [character for character in text if character.isalpha()]
    if (
        sum(character > "\u024f" and not "\u0370" <= character <= "\u03ff" for character in letters)
        > len(letters) / 2
    ):
        return True  # neither Latin nor the Greek of formulas
    found = words(text)
    english = sum(word in _ENGLISH for word in found)
    other = max(len([*filter(language.__contains__, found)]) for language in _OTHER)
    return other >= 3 and other > 2 * english
