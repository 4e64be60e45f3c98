//! `roentgen tui`: the terminal UI.

use std::io::{IsTerminal, stdin, stdout};

use crate::cli::args;
use crate::error::{Error, Result};
use crate::tui::app::App;
use crate::tui::event;
use crate::tui::image::{Choice, Protocol};
use crate::tui::theme::Theme;

/// Carries the verb out.
pub fn run(args: &args::Tui) -> Result<()> {
    if !on_terminal() {
        return Err(Error::usage("the terminal UI needs a terminal for input and output")
            .mend("run it in one, or use `roentgen evaluate --headless` and read the run folder"));
    }
    let mut app = App::new(Theme::from_env());
    app.shared.images = args.images.clone();
    if let Some(path) = &args.run {
        app.open(path);
    }
    event::run(&mut app, choice(args.graphics))
}

/// The terminal UI on its first panel.
pub fn home() -> Result<()> {
    run(&args::Tui { run: None, images: None, graphics: args::Graphics::Auto })
}

/// Whether a person sits at both ends.
pub fn on_terminal() -> bool {
    stdin().is_terminal() && stdout().is_terminal()
}

fn choice(graphics: args::Graphics) -> Choice {
    match graphics {
        args::Graphics::Auto => Choice::Auto,
        args::Graphics::Kitty => Choice::Only(Protocol::Kitty),
        args::Graphics::Iterm => Choice::Only(Protocol::Iterm),
        args::Graphics::Sixel => Choice::Only(Protocol::Sixel),
        args::Graphics::Blocks => Choice::Only(Protocol::Blocks),
        args::Graphics::Off => Choice::Only(Protocol::Off),
    }
}
