//! Asks before something is deleted or refused that an operator may not have meant.

use std::io;
use std::io::BufRead;
use std::io::IsTerminal;
use std::io::Write;

use crate::error::CtlError;

/// Fails where nobody can be asked. `what` follows "add --yes to".
///
/// # Errors
///
/// [`CtlError::Usage`], which names `--yes`.
pub(crate) fn can_be_asked_for(what: &str) -> Result<(), CtlError> {
    if io::stdin().is_terminal() && io::stderr().is_terminal() {
        return Ok(());
    }
    Err(CtlError::Usage(format!(
        "this is no terminal, so gs-ctl cannot ask you first: add --yes to {what}"
    )))
}

/// Asks on the terminal; only `y` or `yes` is a yes.
///
/// # Errors
///
/// [`CtlError::Output`] when the terminal is gone.
pub(crate) fn is_given(question: &str) -> Result<bool, CtlError> {
    let mut err = io::stderr().lock();
    write!(err, "{question} [y/N] ")?;
    err.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
