# Best subsets by L0Learn with swaps (CDPSI): supports along its path, and CPU seconds.
# Arguments: a file with n, p, X by columns and y as doubles; the file to be written.
library(L0Learn)
arguments <- commandArgs(trailingOnly = TRUE)
source <- file(arguments[1], "rb")
shape <- readBin(source, "double", 2)
X <- matrix(readBin(source, "double", prod(shape)), shape[1])
y <- readBin(source, "double", shape[1])
close(source)
seconds <- system.time(
  fit <- L0Learn.fit(
    X, y, penalty = "L0", algorithm = "CDPSI", maxSuppSize = 15, scaleDownFactor = 0.9
  )
)
lines <- sprintf("%.6f", sum(seconds[1:2]))
beta <- fit$beta[[1]]
for (j in seq_len(ncol(beta))) {
  lines <- c(lines, paste(which(beta[, j] != 0) - 1, collapse = " "))
}
writeLines(lines, arguments[2])
