//! Pieces of schemas that schemars' attributes can't say: bounded maps and lists of strings,
//! and fields that take one of two forms.

use schemars::{Schema, SchemaGenerator, json_schema};

/// A list of at most `ITEMS` texts of 1 to `LENGTH` characters.
pub(crate) fn texts<const ITEMS: u32, const LENGTH: u32>(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": ITEMS,
        "items": { "type": "string", "minLength": 1, "maxLength": LENGTH },
    })
}

/// As [`texts`], of at least one text: for lists that select, where an empty list would be
/// read by one as "all" and by another as "none".
pub(crate) fn selection<const ITEMS: u32, const LENGTH: u32>(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": ITEMS,
        "items": { "type": "string", "minLength": 1, "maxLength": LENGTH },
    })
}

/// A map of at most `ITEMS` texts of at most `LENGTH` characters.
pub(crate) fn text_map<const ITEMS: u32, const LENGTH: u32>(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": ITEMS,
        "additionalProperties": { "type": "string", "maxLength": LENGTH },
    })
}

/// Labels to select by; at least one.
pub(crate) fn labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "minProperties": 1,
        "maxProperties": 16,
        "additionalProperties": { "type": "string", "maxLength": 63 },
    })
}

/// Control characters and spaces, for classes in patterns, with the no-break space that is easily
/// copied along. Written out because every engine has another `\s`: an API server's has five
/// characters of ASCII, this program's has Unicode's.
macro_rules! blank {
    () => {
        r"\x00-\x20\x7f-\xa0"
    };
}

/// A part of a mail address.
macro_rules! atom {
    () => {
        concat!("[^", blank!(), "<>@,;]+")
    };
}

/// An address with a display name or without: `a@b`, `Name <a@b>`.
pub(crate) const ADDRESS: &str =
    concat!(r"^([^<>\r\n]*<", atom!(), "@", atom!(), ">|", atom!(), "@", atom!(), ")$");

/// Mail addresses.
pub(crate) fn addresses(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 100,
        "items": { "type": "string", "minLength": 3, "maxLength": 320, "pattern": ADDRESS },
    })
}

/// An `http://` or `https://` address, with a port that there is.
pub(crate) const HTTP_URL: &str = concat!(
    "^https?://([^",
    blank!(),
    r"/?#]*@)?(\[[0-9A-Fa-f:.]+\]|[^",
    blank!(),
    r"/?#:@\[\]]+)",
    r"(:([0-9]{0,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?",
    "([/?#][^",
    blank!(),
    "]*)?$",
);
/// The name of an object, as Kubernetes has it.
pub(crate) const OBJECT_NAME: &str = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$";
/// A host that a route is for; `*.` stands for any first label.
pub(crate) const HOSTNAME: &str = r"^(\*\.)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?$";
/// A range of addresses.
pub(crate) const CIDR: &str = r"^[0-9A-Fa-f.:]+/[0-9]{1,3}$";
/// A key of a Secret.
pub(crate) const SECRET_KEY: &str = r"^[-._a-zA-Z0-9]+$";
/// A mail domain.
pub(crate) const DOMAIN: &str = concat!("^", atom!(), "$");
/// A host's name or address.
pub(crate) const HOST: &str =
    r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*)$";
/// An account's name: nothing that SSH or HTTP could take for something else.
pub(crate) const USER: &str = concat!("^[^", blank!(), ":]+$");
/// What Gerrit lets a label be called.
pub(crate) const LABEL: &str = r"^[A-Za-z0-9][-A-Za-z0-9_]*$";
/// A header's name (RFC 9110).
pub(crate) const HEADER: &str = r"^[-!#$%&'*+.^_`|~0-9A-Za-z]+$";
/// A header's value.
pub(crate) const HEADER_VALUE: &str = r"^([!-~]([ \t!-~]*[!-~])?)?$";
/// One line of text.
pub(crate) const ONE_LINE: &str = r"^[^\r\n]*$";

/// What a pattern wants, in words: for messages, where a regular expression helps nobody.
pub(crate) fn words(pattern: &str) -> Option<&'static str> {
    Some(match pattern {
        ADDRESS => "mail address: write a@example.org or Name <a@example.org>",
        HTTP_URL => {
            "address of a server: write http://HOST/… or https://HOST:PORT/…, with a PORT up to 65535"
        }
        OBJECT_NAME => {
            "name of an object: it has a-z, 0-9, - and ., and begins and ends with a letter or digit"
        }
        HOSTNAME => "host: write a name such as status.example.org or *.example.org",
        CIDR => "range of addresses: write ADDRESS/BITS, such as 10.1.2.0/24",
        SECRET_KEY => "key of a Secret: it has letters, digits, -, _ and .",
        HEADER => "header's name: it has letters, digits and -, no spaces and no colon",
        HEADER_VALUE => "header's value: one line of ASCII, without spaces around it",
        ONE_LINE => "single line",
        DOMAIN => "domain: write example.org, without @",
        HOST => "host: write a name or an IP address, without scheme or port",
        USER => "account: it has no spaces and no colon",
        LABEL => "label: it has letters, digits, - and _, and begins with a letter or digit",
        crate::values::duration::PATTERN => {
            "length of time: write numbers with units ms, s, m, h, d or w, such as 90s or 1h30m"
        }
        crate::values::size::PATTERN => {
            "size: write bytes, or a whole number with Ki, Mi, Gi, Ti, k, M, G or T, such as 512Mi"
        }
        crate::strports::PATTERN => {
            "address to listen on: write a port (8010), tcp:PORT:interface=ADDRESS or unix:/PATH"
        }
        _ => return None,
    })
}

/// The words of a pattern of the form `^(one|other)$`, still separated by `|`.
pub(crate) fn alternatives(pattern: &str) -> Option<&str> {
    let words = pattern.strip_prefix("^(")?.strip_suffix(")$")?;
    words.bytes().all(|b| b.is_ascii_lowercase() || b == b'|').then_some(words)
}
