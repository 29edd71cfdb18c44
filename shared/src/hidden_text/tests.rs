use fastrand::Rng;

use super::*;

#[test]
fn invisible_and_bidirectional_characters_go_and_visible_text_stays() {
    let smuggled: String = "run rm".chars().filter_map(|c| char::from_u32(0xE0000 + c as u32)).collect();
    assert_eq!(strip(&format!("fix{smuggled} it")), "fix it");
    assert_eq!(strip("a\u{202E}b\u{2066}c\u{200B}d\u{0}e\u{1b}[31mf"), "abcde[31mf");
    assert_eq!(strip("tab\there\r\nnew\rline"), "tab\there\nnew\nline");
    assert_eq!(strip("ログインできない、急ぎ — naïve café ✓"), "ログインできない、急ぎ — naïve café ✓");
}

#[test]
fn an_invisible_character_that_is_spelled_out_goes_too() {
    assert_eq!(strip("a&#x200B;b&#8203;c&zwnj;d &amp; e&lt;f &#65;"), "abcd &amp; e&lt;f &#65;");
    assert_eq!(strip("<p>\na&#xE0041;&#917570;b &amp;\n</p>"), "<p>\nab &amp;\n</p>");
    assert_eq!(strip("`&#x200B;` is a space of no width"), "`&#x200B;` is a space of no width");
}

#[test]
fn comments_go() {
    for (text, expected) in [
        ("a<!-- x -->b", "ab"),
        ("a\n\n<!-- x\n\ny -->\nb", "a\n\n\nb"),
        ("a\n<!-- never closed", "a\n"),
        ("> <!-- never closed in a quote", "> "),
        ("a <!--> b <!---> c", "a  b  c"),
        ("<!-- a --><!-- b -->c", "c"),
        ("<!-- a --> <!-- b, never closed", " "),
        ("<!-<!-- x -->- y -->z", "z"),
    ] {
        assert_eq!(strip(text), expected, "{text:?}");
    }
}

#[test]
fn what_a_reader_does_not_see_goes() {
    for (text, expected) in [
        ("a ![hidden](x.png \"hidden\") b", "a ![](x.png) b"),
        ("![hidden *em* `code` [in](y)](x.png)", "![](x.png)"),
        ("![](<x y.png>)", "![](x%20y.png)"),
        ("[text](http://a/b \"hidden\")", "[text](http://a/b)"),
        ("[text](http://a/b 'hidden\nlines')", "[text](http://a/b)"),
        ("[text](http://a/b)", "[text](http://a/b)"),
        ("[](http://a/hidden) [\u{200B}](http://a/hidden) x", "  x"),
        ("[![hidden](i.png)](http://a)", "[![](i.png)](http://a)"),
        ("see [text][1]\n\n[1]: http://a \"hidden\"", "see [text](http://a)"),
        ("see [text] and [text][]\n\n[text]: http://a\n", "see [text](http://a) and [text](http://a)"),
        ("a\n\n[//]: # (hidden)\n[//]: # (hidden)\n\nb", "a\n\nb"),
        ("> a\n>\n> [x]: y 'hidden'\n\nb", "> a\n>\n> \n\nb"),
        ("a\n\n[^1]: hidden\n", "a"),
        ("a[^1]\n\n[^1]: shown", "a[^1]\n\n[^1]: shown"),
        ("<img src=\"x\" alt=\"hidden\" title='hidden'>", "<img src=\"x\">"),
        ("a <a href='u' title=\"hidden\nx>\">b</a>", "a <a href=\"u\">b</a>"),
        ("a <hidden-words and=more> b </hidden-words> c <path> d", "a  b  c  d"),
        (
            "<details open hidden=x>\n<summary>s</summary>\n\nt\n</details>",
            "<details>\n<summary>s</summary>\n\nt\n</details>",
        ),
        ("<p title=\"hidden\n\nall of it", ""),
        ("<p>\nx <!-- hidden\n\nall of it", "<p>\nx "),
        ("```js hidden words\nx\n```", "```js\nx\n```"),
        ("~~~this-is-far-too-long-for-a-language\nx\n~~~", "~~~\nx\n~~~"),
        ("| a | b |\n|---|---|\n| 1 | 2 | hidden |\n| 3 | 4 |", "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |"),
        ("a <?hidden?> b <!HIDDEN x> c <![CDATA[hidden]]> d", "a  b  c  d"),
    ] {
        let shown = strip(text);
        assert_eq!(shown.trim_end(), expected.trim_end(), "{text:?}");
        assert!(!shown.contains("hidden"), "{text:?}");
    }
}

#[test]
fn what_a_reader_sees_stays() {
    for text in [
        "write <!-- to start a comment\n\nand --> to end it",
        "```html\n<!-- shown -->\n<img alt=\"shown\">\n```\nb",
        "steps:\n~~~\n<!-- shown -->\n[a]: b 'shown'\n~~~\n",
        "```\n<!-- shown, never closed",
        "- a\n  ```rust\n  let x: Vec<String> = y; // ![alt](z \"t\")\n  ```\n",
        "    indented <!-- shown --> [a](b \"c\")\n",
        "from `<!--` and `<!--` on,\n\nall is `-->` and `![alt](x \"t\")` shown",
        "`Vec<String>` and Vec<String>, a < b > c, 1 <2, x<-y, <https://example.org/?a=b&c=d>",
        "| a | b |\n|---|---|\n| 1 | 2 |\n\n- [ ] one\n- [x] two\n\n1. three\n",
        "Title\n=====\n\n> quoted\n> lines\n\n***\n\n[not a link] and [neither][x] and @ann #5",
        "line  \nbreak \\* star \\<!-- shown --> &copy; &lt;b&gt;",
    ] {
        assert_eq!(strip(text), text);
    }
}

#[test]
fn a_fence_that_markdown_does_not_read_as_one_hides_nothing() {
    for text in [
        "<div>\n```\n<!-- hidden -->\n```\n</div>",
        "<pre>\n\n```\n<!-- hidden -->\n```\n</pre>",
        "    ```\n<!-- hidden -->\n",
        "- a\n  ```\n<!-- hidden -->\n",
        "``` `\n<!-- hidden -->\n",
        "```\ncode\n```\n<!-- hidden -->\n",
        "a<!-- ```\n -->\n<!-- hidden -->",
        "```\n```\u{200B}\n```\n<!-- hidden -->\n```\n",
        "```\n\t```\n```\n<!-- hidden -->\n```\n",
        "<!--\n\n-->```\n<!-- hidden -->\n```\n",
    ] {
        assert!(!strip(text).contains("hidden"), "{text:?}: {:?}", strip(text));
    }
}

#[test]
fn a_text_full_of_marks_takes_no_longer_than_any_other() {
    for piece in [
        "a<!--",
        "<!---->",
        "<!--\n\n",
        "`<!--`\n\n",
        "```\n<!--\n",
        "[",
        "![a](",
        "<p x=\"",
        "[a]: b\n",
        "|a",
        "&#",
        "*a_",
        "> ",
    ] {
        // Quadratic work would take minutes for this.
        strip(&piece.repeat(100_000 / piece.len()));
    }
}

#[test]
fn a_text_that_is_too_long_is_cut_where_everybody_sees_it_and_shows_nothing_hidden() {
    assert_eq!(strip_to(&"é".repeat(100), 100), format!("{}{CUT_MARK}", "é".repeat(35)));
    let hidden = format!("a <!-- {}", "hidden ".repeat(TEXT_BYTES_MAX / 7));
    assert_eq!(strip_to(&format!("shown\n\n{hidden} -->"), 1_000), format!("shown{CUT_MARK}"));
    assert_eq!(strip_to(&format!("a {hidden} --> b"), 1_000), CUT_MARK);
    assert!(strip(&"long\n\n".repeat(TEXT_BYTES_MAX)).len() <= TEXT_BYTES_MAX);
}

#[test]
fn a_title_stays_on_one_line() {
    assert_eq!(strip_line(" a\n\tb\u{200B}\r\nc "), "a b c");
}

/// What Markdown's meaning hangs on, and a word that must not appear where it is hidden.
const PIECES: [&str; 42] = [
    "<!--",
    "-->",
    "<",
    ">",
    "[",
    "]",
    "(",
    ")",
    "![",
    "](",
    "\"",
    "'",
    "`",
    "```",
    "~~~",
    "\n",
    "\n\n",
    "    ",
    "> ",
    "- ",
    "1. ",
    "|",
    "|---|",
    "[a]: b",
    "[^1]",
    "[^1]: ",
    "<p>",
    "<p title=\"",
    "<img alt=x>",
    "</p>",
    "<pre>",
    "&#x200B;",
    "&lt;",
    "\\",
    "\u{200B}",
    "\u{E0041}",
    "\t",
    "#",
    "*",
    "_",
    "a",
    "題 ",
];

#[test]
fn whatever_the_text_nothing_panics_and_a_second_time_changes_nothing() {
    let mut rng = Rng::with_seed(20_250_611);
    for _ in 0..6_000 {
        let text: String = (0..rng.usize(1..40)).map(|_| *rng.choice(&PIECES).unwrap()).collect();
        let once = strip(&text);
        assert_eq!(strip(&once), once, "{text:?}");
        assert!(once.len() <= 3 * text.len() + 16, "{text:?}");
        strip_to(&text, rng.usize(..40));
    }
}

#[test]
fn whatever_stands_around_it_code_is_not_harmed() {
    let code = "let a: Vec<String> = b; // <!-- c --> ![d](e \"f\") [g]: h &#x200B; <i k=\"l\">";
    let mut rng = Rng::with_seed(20_250_612);
    for _ in 0..2_000 {
        let around = |rng: &mut Rng| {
            let words = [
                "a ",
                "*b* ",
                "[c](d \"e\") ",
                "<!-- f --> ",
                "![g](h) ",
                "| i ",
                "\n> j",
                "\n- k",
                "\n\n",
                "# l",
            ];
            (0..rng.usize(..8)).map(|_| *rng.choice(&words).unwrap()).collect::<String>()
        };
        let text = format!("{}\n\n```rust\n{code}\n```\n\n{}", around(&mut rng), around(&mut rng));
        assert!(strip(&text).contains(&format!("```rust\n{code}\n```\n")), "{text:?}");
    }
}
