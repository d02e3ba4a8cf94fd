//! Stand-ins for the schema of texts with a format: `#[schemars(with = "Vec<PathText>")]`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

macro_rules! shape {
    ($($type:ident = $format:literal),* $(,)?) => {
        $(
            #[doc = concat!("A text with the format `", $format, "` of [`super::formats`].")]
            pub struct $type;

            impl JsonSchema for $type {
                fn inline_schema() -> bool {
                    true
                }
                fn schema_name() -> Cow<'static, str> {
                    stringify!($type).into()
                }
                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    json_schema!({ "type": "string", "x-chom": $format })
                }
            }
        )*
    };
}

shape! {
    AccountText = "account",
    AddressText = "address",
    CalendarText = "calendar",
    ComponentRefText = "component_ref",
    ComponentText = "component",
    DigestText = "digest",
    DomainText = "domain",
    DurationText = "duration",
    LabelText = "label",
    Line = "line",
    MachineIdText = "machine_id",
    OwnerText = "owner",
    PackageText = "package",
    KeyFileText = "key_file",
    PathText = "path",
    PlainPathText = "plain_path",
    RecipientText = "age_recipient",
    RelativePathText = "relative_path",
    SshKeyText = "ssh_key",
    UrlText = "url",
    VersionText = "version",
}
