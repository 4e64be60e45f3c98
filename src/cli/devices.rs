//! `roentgen devices`: what can compute here.

use serde_json::json;

use crate::cli::args::{self, Format};
use crate::cli::table::{Side, Table};
use crate::cli::{self, json, print};
use crate::device::{self, Card, Fault, gib, instruction_set};
use crate::error::Result;

/// Carries the verb out. That there is no card is no error.
pub fn run(args: &args::Devices) -> Result<()> {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let (cards, why) = match device::cards() {
        Ok(cards) => (cards, None),
        Err(fault) => (Vec::new(), Some(fault)),
    };
    print(&match args.format {
        Format::Text => text(threads, &cards, why.as_ref()),
        Format::Csv => csv(&cards)?,
        Format::Json => json(&json!({
            "cpu": { "instructions": instruction_set(), "threads": threads },
            "cards": cards,
            "no_card": why.map(|fault| fault.error().to_string()),
        }))?,
    })
}

/// The cells of a card, which text and CSV share.
fn cells(card: &Card) -> [String; 6] {
    let (capability, driver) = (card.capability, card.driver);
    [
        format!("cuda:{}", card.number),
        card.name.clone(),
        gib(card.memory.free),
        gib(card.memory.total),
        format!("{}.{}", capability.0, capability.1),
        format!("{}.{}", driver.0, driver.1),
    ]
}

fn text(threads: usize, cards: &[Card], why: Option<&Fault>) -> String {
    let mut table = Table::new(&[
        ("device", Side::Left),
        ("name", Side::Left),
        ("GiB free", Side::Right),
        ("GiB in all", Side::Right),
        ("compute capability", Side::Right),
        ("driver's CUDA", Side::Right),
    ]);
    let s = if threads == 1 { "" } else { "s" };
    let cpu = [format!("{}, {threads} thread{s}", instruction_set()), String::new(), String::new(), String::new()];
    table.row(["cpu".to_owned()].into_iter().chain(cpu).chain([String::new()]));
    cards.iter().for_each(|card| table.row(cells(card)));
    let why = why.map(|fault| format!("\nno card: {}\n", fault.error())).unwrap_or_default();
    format!("{table}{why}")
}

fn csv(cards: &[Card]) -> Result<String> {
    let header = ["device", "name", "gib_free", "gib_total", "compute_capability", "driver_cuda"].map(str::to_owned);
    cli::csv(std::iter::once(header).chain(cards.iter().map(cells)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Memory;

    #[test]
    fn cards_are_listed_with_their_memory() {
        let card = |number| Card {
            number,
            name: "NVIDIA H100 80GB HBM3".into(),
            memory: Memory { free: 78 << 30, total: 80 << 30 },
            capability: (9, 0),
            processors: 132,
            clock: 1_980_000_000,
            bandwidth: 3_352_000_000_000,
            driver: (13, 0),
        };
        let cards = [card(0), card(1)];
        let text = text(2, &cards, None);
        assert_eq!(
            text.lines().skip(2).collect::<Vec<_>>(),
            ["cuda:0", "cuda:1"].map(|device| {
                let wide = text.lines().nth(1).unwrap().split(", ").next().unwrap().len() - "cpu     ".len();
                let name = format!("{:<1$}", "NVIDIA H100 80GB HBM3", (wide + ", 2 threads".len()).max(21));
                format!("{device}  {name}      78.0        80.0                 9.0           13.0")
            })
        );
        assert_eq!(csv(&cards[..1]).unwrap().lines().nth(1), Some("cuda:0,NVIDIA H100 80GB HBM3,78.0,80.0,9.0,13.0"));
        assert_eq!(cards[0].instructions(), "sm_90, CUDA driver 13.0");
        let why = super::text(2, &[], Some(&Fault::NoDriver));
        assert!(why.ends_with(
            "\nno card: there is no NVIDIA driver: libcuda.so.1 is not found; install the driver, or use --device cpu\n"
        ));
    }
}
