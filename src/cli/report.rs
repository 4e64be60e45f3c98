//! `roentgen report`: a finished run as one document, signed if asked for.

use std::path::Path;

use console::Term;
use zeroize::Zeroizing;

use crate::cards::catalogue;
use crate::cli::{args, example_pictures, note, print};
use crate::error::{Error, Result};
use crate::report::bundle::{self, Bundle};
use crate::report::document::{Choices, Material};
use crate::report::examples;
use crate::report::signature::{self, Signer};
use crate::run::{Description, RunFolder};

/// Carries the verb out.
pub fn run(args: &args::Report) -> Result<()> {
    let folder = RunFolder::new(&args.run);
    // Before any work: whoever signs is here now.
    let mut signer = match (&args.new_key, &args.sign) {
        (Some(path), _) => Some(new_key(path)?),
        (None, Some(spec)) => Some(signer(spec)?),
        (None, None) => None,
    };
    draw_examples(&folder, args.model.as_deref(), args.root.as_deref())?;
    let published = args.published.as_deref().map(|table| catalogue::published(table)?.to_toml()).transpose()?;
    let choices = Choices { bootstrap: args.bootstrap, seed: args.seed, published };
    let bundle = make(&folder, choices, signer.as_mut())?;
    let mut text = format!("{} files and report.json written to {}\n", bundle.parts.len(), folder.path().display());
    if let Some(signer) = &signer {
        let report = bundle::json_path(&folder);
        text += &format!(
            "signed by {}\nWho verifies it needs this line in a file of allowed signers:\n\n  YOU@EXAMPLE.ORG namespaces=\"{}\" {}\n\n\
             roentgen verify {} --signers allowed_signers\n",
            signature::fingerprint(signer.public_key().key_data()),
            signature::NAMESPACE,
            public_line(signer)?,
            report.display(),
        );
    }
    print(&text)
}

/// Makes and writes the report of a finished run whose files are as the run wrote them.
pub fn make(folder: &RunFolder, choices: Choices, signer: Option<&mut Signer>) -> Result<Bundle> {
    let mut material = Material::of_run(folder, choices)?;
    if let Some(fault) = material.unlike_run(folder)?.into_iter().next() {
        return Err(Error::new(fault)
            .at(folder.path().display())
            .mend("run it again: a report is of what a run wrote"));
    }
    let bundle = bundle::make(folder, &mut material)?;
    let signature = signer.map(|s| s.sign(bundle.json.as_bytes())).transpose()?;
    bundle::write(folder, &bundle, signature.as_deref())?;
    Ok(bundle)
}

/// Draws the example pictures where the licence lets them be shown and nobody has drawn any. That it cannot be done is a
/// note: images may be elsewhere.
pub fn draw_examples(folder: &RunFolder, model: Option<&str>, root: Option<&Path>) -> Result<()> {
    let description = Description::read(folder)?;
    if !description.dataset.redistribution || examples::list(folder).exists() || folder.journal().exists() {
        return Ok(());
    }
    if let Err(e) = example_pictures::draw(folder, &description, model, root) {
        note(&format!("no example pictures: {e}"));
    }
    Ok(())
}

/// The key of a signer as a line of an allowed-signers file has it.
pub fn public_line(signer: &Signer) -> Result<String> {
    let mut key = signer.public_key().clone();
    key.set_comment("");
    key.to_openssh().map(|line| line.trim_end().to_owned()).map_err(|e| Error::new(e.to_string()).at("the public key"))
}

fn signer(spec: &str) -> Result<Signer> {
    match spec {
        "agent" => Signer::from_agent(None),
        path => Signer::from_file(Path::new(path), &|| passphrase(&format!("Passphrase of {path}: "))),
    }
}

/// Makes a key file, under a passphrase where a person can give one.
fn new_key(path: &Path) -> Result<Signer> {
    let key = Signer::new_key("roentgen report")?;
    let word = match Term::stderr().is_term() && std::io::IsTerminal::is_terminal(&std::io::stdin()) {
        true => {
            let word = passphrase("Passphrase of the new key (empty for none): ")?;
            if *passphrase("Once more: ")? != *word {
                return Err(Error::usage("the two passphrases differ").mend("try again"));
            }
            word
        }
        false => Zeroizing::new(String::new()),
    };
    match word.is_empty() {
        true => {
            note(&format!("{} has no passphrase: whoever reads the file can sign", path.display()));
            signature::write_key(&key, path)?;
        }
        false => signature::write_key(&signature::encrypt(&key, &word)?, path)?,
    }
    Ok(Signer::Key(Box::new(key)))
}

/// A line that a person types unseen.
fn passphrase(prompt: &str) -> Result<Zeroizing<String>> {
    if !std::io::IsTerminal::is_terminal(&std::io::stdin()) {
        return Err(Error::new("the key has a passphrase, and there is no terminal to ask for it")
            .mend("add the key with `ssh-add` and give --sign agent"));
    }
    let term = Term::stderr();
    let read = || -> std::io::Result<String> {
        term.write_str(prompt)?;
        term.read_secure_line()
    };
    read().map(Zeroizing::new).map_err(|e| Error::new(e.to_string()).at("reading a passphrase"))
}
