//! Which process is meant: from the command line, the environment or a context.

use clap::ArgMatches;

use crate::args::GlobalArgs;
use crate::contexts;
use crate::contexts::Contexts;
use crate::error::CtlError;
use crate::target::Target;

/// The socket in the data folder that GopherShip has when nobody says otherwise.
const DEFAULT_SOCKET: &str = "gophership-data/control.sock";

/// The process that the command line, the environment or a context names.
pub(crate) fn target(args: &GlobalArgs, matches: &ArgMatches) -> Result<Target, CtlError> {
    if let Some(target) = Target::named(&args.target, matches, args.context.is_some())? {
        return Ok(target);
    }
    let none = Target::Socket { socket: DEFAULT_SOCKET.into() };
    let Some(path) = contexts::path() else { return Ok(none) };
    let contexts = Contexts::read(&path)?;
    match args.context.as_ref().or(contexts.current.as_ref()) {
        Some(name) => contexts.get(name, &path).cloned(),
        None => Ok(none),
    }
}
