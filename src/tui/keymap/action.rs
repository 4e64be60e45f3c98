//! The panels, and what a key can ask of them.

/// A panel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Screen {
    /// Labels and their metrics.
    Table,
    /// ROC curves.
    Roc,
    /// Precision-recall curves.
    PrecisionRecall,
    /// What a threshold does.
    Threshold,
    /// Are the probabilities true?
    Reliability,
    /// How truths and scores are spread.
    Distribution,
    /// The errors, one by one.
    Triage,
    /// Inference as it goes.
    Run,
    /// Runs, models, datasets.
    Home,
    /// One picture of any file.
    Picture,
}

impl Screen {
    /// All, in the order of their number keys (the last is 0).
    pub const ALL: [Self; 10] = [
        Self::Table,
        Self::Roc,
        Self::PrecisionRecall,
        Self::Threshold,
        Self::Reliability,
        Self::Distribution,
        Self::Triage,
        Self::Run,
        Self::Home,
        Self::Picture,
    ];

    /// Its name in the tab line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Table => "Table",
            Self::Roc => "ROC",
            Self::PrecisionRecall => "PR",
            Self::Threshold => "Threshold",
            Self::Reliability => "Reliability",
            Self::Distribution => "Distribution",
            Self::Triage => "Triage",
            Self::Run => "Run",
            Self::Home => "Home",
            Self::Picture => "Picture",
        }
    }

    /// The same where there is little room.
    pub fn short(self) -> &'static str {
        match self {
            Self::Threshold => "Thresh",
            Self::Reliability => "Calib",
            Self::Distribution => "Dist",
            Self::Picture => "Pic",
            other => other.name(),
        }
    }
}

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Leave the program.
    Quit,
    /// Give the terminal back to the shell for a while.
    Suspend,
    /// Show the keys.
    Help,
    /// Find a command by name.
    Palette,
    /// Dark, light, no colours.
    Theme,
    /// Unicode or ASCII.
    Ascii,
    /// Draw everything anew.
    Redraw,
    /// Go to a panel.
    Go(Screen),
    /// The next panel.
    NextScreen,
    /// The panel before.
    PreviousScreen,
    /// One up in a list; the label before.
    Up,
    /// One down in a list; the next label.
    Down,
    /// The label before, also where rows are listed.
    PreviousLabel,
    /// The next label.
    NextLabel,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// The first.
    First,
    /// The last.
    Last,
    /// To the left: a lower threshold, the column before.
    Left,
    /// To the right.
    Right,
    /// To the score just below.
    ScoreBelow,
    /// To the score just above.
    ScoreAbove,
    /// Open what is selected.
    Open,
    /// Closer.
    ZoomIn,
    /// Farther.
    ZoomOut,
    /// One label or all of them.
    Overlay,
    /// Turn the order round.
    Reverse,
    /// The threshold of Youden's index.
    Youden,
    /// The threshold of the best F1.
    BestF1,
    /// The threshold of a sensitivity.
    Sensitivity,
    /// The threshold of a specificity.
    Specificity,
    /// A prevalence other than the data's.
    Prevalence,
    /// Keep the threshold in annotations.csv.
    Save,
    /// Another number of bins.
    Bins,
    /// Equal width or equal count.
    Binning,
    /// Before and after calibration.
    Calibrate,
    /// The next kind of calls: FN, FP, TP, TN.
    Outcome,
    /// Another order.
    Order,
    /// Rows whose text holds something.
    Search,
    /// Rows that meet a condition.
    Condition,
    /// Hide truths and predictions.
    Blind,
    /// Show them for this image.
    Reveal,
    /// The next image of the same patient.
    SamePatient,
    /// The label looks wrong.
    MarkLabel,
    /// An artefact in the picture.
    MarkArtefact,
    /// A note in words.
    Note,
    /// The map over the picture.
    Overlaid,
    /// Another method that makes the map.
    Method,
    /// Another label for the map.
    MapLabel,
    /// More or less of the map.
    Opacity,
    /// Another colour map.
    Colours,
    /// Picture and map beside each other.
    SideBySide,
    /// A wider or narrower window.
    Window,
    /// A brighter or darker level.
    Level,
    /// Move the picture's part that is shown.
    PanLeft,
    /// See `PanLeft`.
    PanRight,
    /// See `PanLeft`.
    PanUp,
    /// See `PanLeft`.
    PanDown,
    /// Hold a run, or let it go on.
    Pause,
    /// Stop a run; what is done is kept.
    Stop,
    /// Choose the model.
    ChooseModel,
    /// Choose the dataset.
    ChooseData,
    /// Choose the folder of the pictures.
    ChooseImages,
    /// Choose the split.
    ChooseSplit,
    /// Choose the device.
    ChooseDevice,
    /// Break labels down by an attribute.
    Subgroups,
    /// Start an evaluation.
    Start,
    /// Compare with another run.
    Pin,
    /// Choose a published table to hold this one against.
    Published,
    /// Look at the folders again.
    Refresh,
    /// Open a picture file.
    OpenFile,
}
