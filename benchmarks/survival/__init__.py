"""Cox's model against R's glmnet, scikit-survival and skglm, on real tables."""
