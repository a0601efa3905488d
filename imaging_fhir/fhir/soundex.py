"""American Soundex (US National Archives): names that sound alike in English have one code."""

CODES = {
    letter: digit
    for digit, letters in enumerate(("bfpv", "cgjkqsxz", "dt", "l", "mn", "r"), start=1)
    for letter in letters
}


def soundex(word: str) -> str:
    """The code of a folded word; of one without a Latin letter at its start, the word itself."""
    if not word[:1].isascii() or not word[:1].isalpha():
        return word
    digits = []
    previous = CODES.get(word[0])
    for letter in word[1:]:
        code = CODES.get(letter)
        if code and code != previous:
            digits.append(str(code))
        if letter not in "hw":  # these do not part two letters of one code
            previous = code
    return (word[0] + "".join(digits) + "000")[:4]
