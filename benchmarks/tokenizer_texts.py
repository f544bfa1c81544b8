"""The texts of the tokenizer comparison: real reviews, other scripts, and hard cases.

All but the reviews are generated here from lists of words, with a seed. All texts are different.
"""

import numpy as np
import pandas as pd

RUSSIAN_STEMS = (
    "фильм актёр сценар музык режиссёр картин зрител герой истори сюжет любов дорог город человек "
    "смотр говор понрав удив красив сильн скучн прекрасн глуп стран ужасн весел груст нов стар "
    "больш мал перв последн сцен рол игр конец начал момент взгляд подъезд объясн ещё здесь"
).split()
RUSSIAN_ENDINGS = (
    "а ы у ом ами ах ый ая ое ие ого ему ыми ал ала али ать ает ют ил ила ить ится ость ости"
).split()
HINDI = (
    "यह वह फ़िल्म बहुत अच्छी थी लेकिन अंत थोड़ा कमज़ोर लगा संगीत सुंदर है और कहानी भी निर्देशक ने "
    "अभिनेता की भूमिका में शानदार काम किया मुझे पसंद आया नहीं समय दर्शक दृश्य पहला दूसरा हिस्सा धीमा "
    "मज़ेदार दुखी प्रेम परिवार शहर रास्ता ज़िंदगी सवाल जवाब बच्चे दोस्त रात दिन क्यों कैसे कब कुछ सब"
).split()
HINDI_ENDINGS = ["", "", "", "ों", "ें", "ी", "ा", "ने", "वाला"]
CHINESE = (
    "的一是不了人我在有他这中大来上个国到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可"
    "她里后小么心多天而能好都然没日于起还发成事只作当想看文无开手十用主行方又如前所本见经头面公同三"
    "已老从动两长知民样现分将外但身些与高意进把法此实回二理美点月明其种声全工己话儿者向情部正名定女"
    "问力机给等几很业最间新什打便位因重被走电四第门相次东政海口使教西再平真听世气信北少关并内加化由"
    "影片演员导剧节奏音乐画面精彩值得推荐结局故事角色"
)
ENGLISH = (
    "the a this that movie film best worst ever just saw it was so good bad lol omg who is in "
    "can't believe ending actor love hate watch again tonight with my friends popcorn trailer "
    "season two cried laughed slept honestly underrated masterpiece cinematography disappointing "
    "rewatchable"
).split()
EMOJI = [*map(chr, range(0x1F600, 0x1F645)), *map(chr, range(0x1F380, 0x1F3C0)), "❤️", "☠️", "✨",
         "👩‍👩‍👧", "🏳️‍🌈", "🤦🏽‍♀️", "👍🏿", "🇩🇪", "🇮🇳", "1️⃣"]  # fmt: skip


def read_reviews(path, rows):
    """Return the first reviews of a CSV, untruncated."""
    return pd.read_csv(path, keep_default_na=False)["review"].tolist()[:rows]


def scripts(count, seed=1):
    """Return texts in other scripts, by name."""
    rng = np.random.default_rng(seed)

    def sentences(word, space, stops, least, most):
        texts = []
        for n in rng.integers(least, most, count):
            words = [word() for _ in range(n)]
            for i in range(int(rng.integers(5, 12)), n, 11):
                words[i] += stops[rng.integers(len(stops))]
            texts.append(space.join(words))
        return texts

    def pick(words):
        # Squaring a uniform number makes the first words of the list more frequent.
        return words[int(rng.random() ** 2 * len(words))]

    def tweet_word():
        kind = rng.random()
        if kind < 0.25:
            return "".join(pick(EMOJI) for _ in range(rng.integers(1, 4)))
        if kind < 0.33:
            return "#@"[rng.integers(2)] + pick(ENGLISH) + str(rng.integers(100))
        word = pick(ENGLISH)
        return word.upper() if kind > 0.95 else word

    return {
        "Chinese": sentences(lambda: pick(CHINESE), "", "\uff0c\u3002\uff01", 60, 900),
        "Russian": sentences(
            lambda: pick(RUSSIAN_STEMS) + pick(RUSSIAN_ENDINGS), " ", ",.!", 20, 200),
        "Hindi": sentences(lambda: pick(HINDI) + pick(HINDI_ENDINGS), " ", ["।", ","], 20, 200),
        "emoji tweets": sentences(tweet_word, " ", ["!!!", "?", "..."], 12, 30),
    }  # fmt: skip


def new_words(size, rng):
    """Return random words of 5 to 12 letters, with hardly any repetition."""
    letters = rng.integers(ord("a"), ord("z") + 1, size, np.uint8)
    at = np.cumsum(rng.integers(6, 14, size // 6 + 2)) - 1
    letters[at[at < size]] = ord(" ")
    return letters.tobytes().decode()


def adversarial(size, marks, rng):
    """Return single texts, by name, that are slow if time is not linear or caches do not help.

    Parameters
    ----------
    size : int
        Characters of each text, except that of the combining marks.
    marks : int
        Number of combining marks. Their classes alternate, so that they must be reordered.
    rng : numpy Generator
    """
    letters = rng.integers(ord("a"), ord("z") + 1, size, np.uint8).tobytes().decode()
    return {
        "endless x": "x" * size,
        "endless random": letters,
        "combining marks": "a" + "\u0301\u0316" * (marks // 2),
        "99-letter words": ("ab" * 49 + "x ") * (size // 100),
        "brackets": "[" * size,
        "ever new words": new_words(size, rng),
    }
