//! The macros that declare the configuration: its types, and from the same lines its reading and its reference.

/// Declares a table of the configuration: a struct whose fields are keys, with their documentation and defaults.
///
/// A key that is unset by default has an `example`, for the reference.
macro_rules! section {
    (
        $(#[doc = $doc:literal])*
        struct $name:ident {
            $(
                $(#[doc = $key_doc:literal])*
                $key:ident: $type:ty = $default:expr $(, example $example:literal)?;
            )*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug)]
        pub(crate) struct $name {
            $($(#[doc = $key_doc])* pub(crate) $key: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default,)* }
            }
        }

        impl $crate::config::setting::Section for $name {
            const SCHEMA: &'static $crate::config::setting::Schema = &$crate::config::setting::Schema {
                keys: &[$($crate::config::setting::Key {
                    name: stringify!($key),
                    doc: &[$($key_doc),*],
                    kind: <$type as $crate::config::setting::Setting>::KIND,
                    default: || $crate::config::setting::Setting::show(&Self::default().$key),
                    example: concat!($($example)?),
                },)*],
            };

            fn read_table(
                table: &$crate::config::tree::Table,
                path: &str,
                problems: &mut $crate::config::problems::Problems,
            ) -> Self {
                $crate::config::setting::refuse_unknown(table, Self::SCHEMA, path, problems);
                #[allow(unused_mut, reason = "a table may have no keys")]
                let mut section = Self::default();
                $(if let Some(node) = table.get(stringify!($key)) {
                    let path = $crate::config::setting::join(path, stringify!($key));
                    problems.set(&path, &node.origin);
                    if let Some(value) = $crate::config::setting::Setting::read(node, &path, problems) {
                        section.$key = value;
                    }
                })*
                section
            }
        }
    };
}

/// Declares a setting that is one of a few words.
macro_rules! choices {
    (
        $(#[doc = $doc:literal])*
        enum $name:ident {
            $($(#[doc = $choice_doc:literal])* $choice:ident = $word:literal,)*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $name {
            $($(#[doc = $choice_doc])* $choice,)*
        }

        impl $name {
            /// The word in the configuration.
            pub(crate) const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$choice => $word,)*
                }
            }
        }

        impl $crate::config::setting::Setting for $name {
            const KIND: $crate::config::setting::Kind = $crate::config::setting::Kind::Text;

            fn read(
                node: &$crate::config::tree::Node,
                path: &str,
                problems: &mut $crate::config::problems::Problems,
            ) -> Option<Self> {
                let choices = [$(($word, Self::$choice),)*];
                $crate::config::setting::read_choice(&choices, node, path, problems)
            }

            fn show(&self) -> Option<String> {
                Some(format!("\"{}\"", self.as_str()))
            }
        }
    };
}

/// Declares a table that is one of a few kinds: its key `kind` says which, and each kind has keys of its own.
macro_rules! kinds {
    (
        $(#[doc = $doc:literal])*
        enum $name:ident: $trait:ident {
            $($(#[doc = $kind_doc:literal])* $kind:ident($section:ty) = $word:literal,)*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug)]
        pub(crate) enum $name {
            $($(#[doc = $kind_doc])* $kind($section),)*
        }

        impl $name {
            /// The table, as what all kinds have in common.
            pub(crate) fn get(&self) -> &dyn $trait {
                match self {
                    $(Self::$kind(section) => section,)*
                }
            }
        }

        impl $crate::config::setting::Setting for $name {
            const KIND: $crate::config::setting::Kind = $crate::config::setting::Kind::OneOf(&[$(
                $crate::config::setting::OneOf {
                    word: $word,
                    doc: &[$($kind_doc),*],
                    schema: <$section as $crate::config::setting::Section>::SCHEMA,
                },
            )*]);

            fn read(
                node: &$crate::config::tree::Node,
                path: &str,
                problems: &mut $crate::config::problems::Problems,
            ) -> Option<Self> {
                let $crate::config::setting::Kind::OneOf(kinds) = Self::KIND else { return None };
                let (word, table) = $crate::config::setting::read_kind(kinds, node, path, problems)?;
                $(if word == $word {
                    let section = $crate::config::setting::Section::read_table(&table, path, problems);
                    return Some(Self::$kind(section));
                })*
                None
            }

            fn show(&self) -> Option<String> {
                Some(String::new())
            }
        }
    };
}

pub(crate) use {choices, kinds, section};
