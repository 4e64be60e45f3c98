//! Metrics on plain slices: truths, scores, patient numbers. No images, no models.

pub mod auroc;
pub mod average;
pub mod bootstrap;
pub mod breakdown;
pub mod calibrated_null;
pub mod calibration;
pub mod calibrator;
pub mod compare;
pub mod comparison;
pub mod confidence;
pub mod decision_curve;
pub mod dialect;
pub mod evaluation;
pub mod label_errors;
pub mod matching;
pub mod operating_point;
pub mod policies;
pub mod precision_recall;
pub mod recalibration;
pub mod risk_coverage;
pub mod roc;
pub mod smooth_ece;
pub mod student;
pub mod subgroup;
