//! Values that are fine by themselves and mean nothing together.

use cdarts_space::{CellKind, CellPlan, NetworkPlan, SkeletonPlan, StagePlan, nas_bench_201};

use super::{Config, OnCollapse, Space};
use crate::SearchError;

impl Config {
    /// Checks what can be told without knowing the images.
    pub(super) fn check_combinations(&self) -> Result<(), SearchError> {
        if self.search.space == Space::NasBench201 {
            self.check_nas_bench_201()?;
        }
        let search = &self.search;
        let (stages, eval_stages) = (search.cells.len(), search.eval_cells.len());
        if search.has_evaluation_network() && !search.same_structure && stages != eval_stages {
            let expected = format!("as many stages as search.cells, {stages}");
            return refuse("search.eval_cells", &format!("{eval_stages} stages"), &expected);
        }
        if !search.repeat_cell && stages != self.retrain.cells.len() {
            let found = format!("{} stages", self.retrain.cells.len());
            let expected = format!(
                "as many stages as search.cells, {stages}, since search.repeat_cell = false finds a genotype for \
                 each of them"
            );
            return refuse("retrain.cells", &found, &expected);
        }
        if !search.one_stage && search.repeat_cell {
            return refuse(
                "search.one_stage",
                "false",
                "true, or search.repeat_cell = false: stages searched one after another need architecture weights \
                 of their own",
            );
        }
        if !search.is_cyclic() && !search.one_stage {
            let expected = "true, or search.method = \"cdarts\" with feedback: stages that were searched are the \
                            evaluation network's";
            return refuse("search.one_stage", "false", expected);
        }
        if !search.is_cyclic() && search.bank_pretrain_epochs > 0 {
            let expected =
                "0, or search.method = \"cdarts\" with feedback: the bank is the evaluation network's";
            return refuse("search.bank_pretrain_epochs", &search.bank_pretrain_epochs.to_string(), expected);
        }
        if search.on_collapse != OnCollapse::Warn && !search.one_stage {
            let expected = "\"warn\", or search.one_stage = true: later stages would not be searched";
            return refuse("search.on_collapse", "an early end", expected);
        }
        if search.bank_pretrain_epochs > 0 && search.eval_affine {
            return refuse(
                "search.eval_affine",
                "true",
                "false, or search.bank_pretrain_epochs = 0: the operations that are pre-trained have batch norms \
                 without affine part",
            );
        }
        Ok(())
    }

    /// Checks what NAS-Bench-201 has no room for: the same cell stands everywhere, and all stages are as long.
    fn check_nas_bench_201(&self) -> Result<(), SearchError> {
        let search = &self.search;
        for (key, cells) in [
            ("search.cells", &search.cells),
            ("search.eval_cells", &search.eval_cells),
            ("retrain.cells", &self.retrain.cells),
        ] {
            if cells.len() != nas_bench_201::STAGES || cells.iter().any(|count| *count != cells[0]) {
                return refuse(key, &format!("{cells:?}"), "three equal numbers, such as [5, 5, 5]");
            }
        }
        for (key, found, expected) in [
            ("search.one_stage", search.one_stage, true),
            ("search.repeat_cell", search.repeat_cell, true),
            ("search.edge_weights", search.edge_weights, false),
        ] {
            if found != expected {
                return refuse(
                    key,
                    &found.to_string(),
                    &format!("{expected} with search.space = nas-bench-201"),
                );
            }
        }
        if search.bank_pretrain_epochs > 0 {
            let found = search.bank_pretrain_epochs.to_string();
            return refuse("search.bank_pretrain_epochs", &found, "0 with search.space = nas-bench-201");
        }
        Ok(())
    }

    /// Checks that every kind of cell that a stage of a network has is searched there, where each stage has
    /// architecture weights of its own.
    pub(crate) fn check_searched(
        &self,
        search: &SkeletonPlan,
        key: &str,
        network: &SkeletonPlan,
    ) -> Result<(), SearchError> {
        let (SkeletonPlan::Darts(search), SkeletonPlan::Darts(network)) = (search, network) else {
            return Ok(());
        };
        if self.search.repeat_cell {
            return Ok(());
        }
        let has = |plan: &NetworkPlan, stage: usize, kind: CellKind| {
            plan.stages.get(stage).is_some_and(|stage| stage.cells.iter().any(|cell| cell.kind == kind))
        };
        for stage in 0..network.stages.len() {
            for kind in CellKind::ALL {
                if has(network, stage, kind) && !has(search, stage, kind) {
                    let found = format!("a network with a {kind} cell in stage {}", stage + 1);
                    let expected = "only kinds of cell that search.cells has in the same stage; give that stage \
                                    another cell there, or set search.repeat_cell = true";
                    return refuse(key, &found, expected);
                }
            }
        }
        Ok(())
    }

    /// Checks that every stage of the search network can follow the evaluation network's cells, where stages are
    /// searched one after another. The first cell of a stage also sees the last cell but one before it, which for a
    /// stage of a single cell is the stage before or the stem.
    pub(crate) fn check_settled(
        &self,
        search: &SkeletonPlan,
        eval: &SkeletonPlan,
    ) -> Result<(), SearchError> {
        let (SkeletonPlan::Darts(search), SkeletonPlan::Darts(eval)) = (search, eval) else { return Ok(()) };
        if self.search.one_stage {
            return Ok(());
        }
        let inputs = |stage: &StagePlan| {
            let first: &CellPlan = &stage.cells[0];
            let channels = [first.channels_two_back, first.channels_one_back];
            (channels, first.size_two_back, first.size_one_back)
        };
        let stages = search.stages.iter().zip(&eval.stages).enumerate();
        match stages.skip(1).find(|(_, (search, eval))| inputs(search) != inputs(eval)) {
            None => Ok(()),
            Some((stage, _)) => refuse(
                "search.eval_cells",
                &format!("a network whose stage {stage} hands on other channels than the search network's"),
                "two cells or more in every stage but the last, here and in search.cells, or search.one_stage = true",
            ),
        }
    }
}

fn refuse(key: &str, found: &str, expected: &str) -> Result<(), SearchError> {
    Err(SearchError::ConfigValue {
        key: key.to_owned(),
        found: found.to_owned(),
        expected: expected.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use crate::config::resolve;

    fn refused(settings: &[&str]) -> String {
        let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
        resolve(None, &settings).unwrap_err().to_string()
    }

    #[test]
    fn combinations_without_meaning_name_the_way_out() {
        for (settings, remedy) in [
            (&["search.one_stage=false"][..], "search.repeat_cell = false"),
            (
                &["search.bank_pretrain_epochs=1", "search.eval_affine=true"],
                "search.bank_pretrain_epochs = 0",
            ),
            (
                &["search.method=darts-first-order", "search.one_stage=false", "search.repeat_cell=false"],
                "search.method = \"cdarts\"",
            ),
            (
                &["search.method=darts-second-order", "search.bank_pretrain_epochs=1"],
                "search.method = \"cdarts\"",
            ),
            (&["search.eval_cells=[2,2]"], "as many stages as search.cells, 3"),
            (&["search.repeat_cell=false", "retrain.cells=[7,7]"], "as many stages as search.cells, 3"),
            (&["search.pretrained_lr_factor=-1"], "0 or more"),
            (&["search.space=nas-bench-201", "search.cells=[5,5,4]"], "three equal numbers"),
            (&["search.space=nas-bench-201", "retrain.cells=[5,5]"], "three equal numbers"),
            (&["search.space=nas-bench-201", "search.repeat_cell=false"], "true with"),
            (&["search.space=nas-bench-201", "search.edge_weights=true"], "false with"),
            (&["search.space=nas-bench-201", "search.bank_pretrain_epochs=1"], "0 with"),
            (&["search.gumbel_scores=logits"], "log-probabilities"),
        ] {
            let said = refused(settings);
            assert!(said.contains(remedy), "{settings:?}: {said}");
        }
        let settings = ["search.same_structure=true".to_owned(), "search.eval_cells=[2,2]".to_owned()];
        assert!(resolve(None, &settings).is_ok());
        let unread = ["search.method=darts-first-order".to_owned(), "search.eval_cells=[2,2]".to_owned()];
        assert!(resolve(None, &unread).is_ok());
    }
}
