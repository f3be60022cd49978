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

/// An address with a display name or without: `a@b`, `Name <a@b>`.
pub(crate) const ADDRESS: &str = r"^([^<>\r\n]*<[^\s<>@,;]+@[^\s<>@,;]+>|[^\s<>@,;]+@[^\s<>@,;]+)$";

/// Mail addresses.
pub(crate) fn addresses(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 100,
        "items": { "type": "string", "minLength": 3, "maxLength": 320, "pattern": ADDRESS },
    })
}

/// An `http://` or `https://` address.
pub(crate) const HTTP_URL: &str = r"^https?://[^\s/?#]+[^\s]*$";
/// The name of an object, as Kubernetes has it.
pub(crate) const OBJECT_NAME: &str = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$";
/// A key of a Secret.
pub(crate) const SECRET_KEY: &str = r"^[-._a-zA-Z0-9]+$";
/// One line of text.
pub(crate) const ONE_LINE: &str = r"^[^\r\n]*$";
