"""Invented people and texts for the generator: everything follows from a number, so nothing has to be remembered."""

import hashlib
from datetime import date, timedelta

SURNAMES = (
    *(("佐藤", "サトウ"), ("鈴木", "スズキ"), ("高橋", "タカハシ"), ("田中", "タナカ"), ("渡邉", "ワタナベ")),
    *(("伊藤", "イトウ"), ("山本", "ヤマモト"), ("中村", "ナカムラ"), ("小林", "コバヤシ"), ("加藤", "カトウ")),
    *(("𠮷田", "ヨシダ"), ("髙﨑", "タカサキ"), ("佐々木", "ササキ"), ("グエン", "グエン"), ("D'Souza", "ディスーザ")),
    *(("井上", "イノウエ"), ("清水", "シミズ"), ("斎藤", "サイトウ"), ("齋藤", "サイトウ")),
)
GIVEN_NAMES = (
    *(
        ("太郎", "タロウ"),
        ("花子", "ハナコ"),
        ("健太", "ケンタ"),
        ("美咲", "ミサキ"),
        ("翔", "ショウ"),
        ("さくら", "サクラ"),
    ),
    *(
        ("大輔", "ダイスケ"),
        ("由美", "ユミ"),
        ("陽子", "ヨウコ"),
        ("ヴァン アイン", "ヴァン アイン"),
        ("マリア", "マリア"),
    ),
    *(("Thị Hương", "ティ フオン"), ("ジョゼ", "ジョゼ"), ("João", "ジョアン"), ("一郎", "イチロウ"), ("愛", "アイ")),
)
WORKPLACES = ("東海精機 本社工場", "愛知部品 岡崎工場", "静岡テクノ", "三河物流センター", "北斗電子 第二工場", None)
DEPARTMENTS = ("製造一課", "検査", "組立", "物流", "", None)
LINES = ("A1", "B2\tnight", "第3ライン", None)
NATIONALITIES = ("日本", "ベトナム", "フィリピン", "ブラジル", "ネパール", "インド")
STATES = ("在職中", "在職中", "在職中", "在職中", "待機中", "退社")
OFFICES = ("名古屋", "豊田", "浜松")
# Valid in every database, and lost by careless exports: quotes, breaks, tabs, backslashes, words that look like NULL.
TEXTS = (
    *(
        "私用のため",
        "通院",
        "家族の看護\n(子の発熱)",
        "帰省\r\n飛行機 18:00",
        'He said "yes"',
        "It's personal",
        "列1\t列2",
    ),
    *(
        "C:\\temp\\leave\\n.txt",
        "結婚式 🎉 参列 👩‍👩‍👧‍👦",
        "NULL",
        "\\N",
        "\\.",
        "null",
        "",
        " ",
        "  前後に空白  ",
        "a,b;c|d",
    ),
    *('{"json": [1, 2, null]}', "<script>alert('x')</script>", "100%_done", "が（合成） / が（分解）", "\\x41\\u0042"),
    *(
        "=1+1",
        "0012",
        "1e5",
        "true",
        "'; DROP TABLE employees; --",
        "役所の手続き、免許更新",
        "長い" * 600,
        None,
        None,
        None,
    ),
)
PROFILES = (
    None,
    "null",
    "{}",
    '{"言語": ["日本語", "Tiếng Việt"], "資格": null}',
    '{"shift": "夜勤", "km": 12.5, "n": 3}',
    "[]",
)


def draw(*parts: object) -> int:
    """A number of 64 bits that follows from its arguments alone, on every machine."""
    return int.from_bytes(hashlib.blake2b("|".join(map(str, parts)).encode(), digest_size=8).digest(), "big")


def full_name(seed: int, person: int) -> tuple[str, str]:
    """A person's name and its reading."""
    number = draw(seed, "name", person)
    surname, given = SURNAMES[number % len(SURNAMES)], GIVEN_NAMES[number // 1000 % len(GIVEN_NAMES)]
    return f"{surname[0]} {given[0]}", f"{surname[1]} {given[1]}"


def employee_number(person: int) -> str:
    """Six digits, more for very large companies."""
    return str(100_001 + person)


def account_id(person: int, year: int) -> str:
    """The key of a person's leave account in a year."""
    return f"{employee_number(person)}_{year}"


def day(first: date, number: int, span: int) -> str:
    """A date as text, `number` modulo `span` days after the first."""
    return (first + timedelta(days=number % span)).isoformat()


def moment(first: date, number: int) -> str:
    """A time within two years of a date, in the form that the application itself writes on SQLite."""
    seconds = number // 7 % 86_400
    clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{number // 11 % 1_000_000:06d}"
    return f"{day(first, number, 730)} {clock}"
