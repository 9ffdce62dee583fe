//! What an edit of attributes says: where, which attribute, and what is done to it.

use std::collections::HashMap;
use std::sync::Arc;

use super::value::Value;

/// Which attributes an edit is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Level {
    /// Those of the resource. A missing resource is added when something is set.
    Resource,
    /// Those of the instrumentation scope. A missing scope is added when something is set.
    Scope,
    /// Those of each log record, span or metric data point.
    Record,
}

/// What texts stand for.
pub type Table = HashMap<String, Value>;

/// What is done to the attribute an edit names.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum EditOperation {
    /// Gives it a value, whether it is there or not.
    Set(Value),
    /// Gives it a value unless it is there.
    SetIfAbsent(Value),
    /// Gives it another name; an attribute that had that name is replaced.
    Rename {
        /// The new name.
        to: String,
    },
    /// Removes it.
    Delete,
    /// Gives it the value that another attribute stands for: its text, or its number, true or false as
    /// text.
    Lookup {
        /// The other attribute, of the same level.
        from: String,
        /// What each text stands for.
        table: Arc<Table>,
        /// Whether an attribute that is there stays as it is.
        if_absent: bool,
        /// The value when there is no such attribute, no text in it, or no entry in the table;
        /// `None` changes nothing then.
        default: Option<Value>,
    },
}

/// One change to one attribute.
#[derive(Debug, Clone, PartialEq)]
pub struct Edit {
    /// Where the attribute is.
    pub level: Level,
    /// Its name.
    pub key: String,
    /// What is done to it.
    pub operation: EditOperation,
}
